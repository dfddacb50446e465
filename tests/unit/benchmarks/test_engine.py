"""Agreement of decisions, shared settings, noise, memory and the plot."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import results, scaling, tokenizers
from benchmarks.engine import decisions, memory, near, noise, sample, settings
from benchmarks.engine.plot import line_chart

YAML = b"""
dup_line_frac: 0.3
dup_n_grams: [[5, 0.2]]
top_n_grams: [[2, 0.2]]
line_punct_thr: 0.1
new_line_ratio: 0.2
min_avg_word_length: 1
max_avg_word_length: 6
max_non_alpha_words_ratio: 0.7
stopwords: [a, b]
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [
        {
            "id": f"made/{language}/{number}",
            "text": f"{word} number {number} of the made texts in this language, " * 20,
            "language": language,
            "source": "made",
            "license": "CC0-1.0",
            "url": "",
        }
        for language, word in (("eng_Latn", "text"), ("deu_Latn", "Satz"), ("nld_Latn", "zin"))
        for number in range(40)
    ]
    (tmp_path / "documents" / "made").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "documents" / "made" / "00000.parquet")
    return tmp_path


def test_decisions_are_compared_by_filter() -> None:
    theirs = {"a": {"x": None, "y": "short"}, "b": {"x": "long", "y": None}}
    mine = {"a": {"x": None, "y": "brief"}, "b": {"x": None, "y": None, "z": "other"}}
    found = decisions.compare(mine, theirs)
    assert (found.decisions, found.equal, found.equal_reasons) == (4, 3, 2)
    assert found.by_filter == {"x": 0.5, "y": 1.0}
    assert found.differences == [("b", "x", None, "long")]
    assert found.dropped == 2


def test_a_document_that_ours_did_not_judge_is_an_error() -> None:
    with pytest.raises(KeyError):
        decisions.compare({}, {"a": {"x": None}})


def test_settings_come_from_fineweb2_files(tmp_path: Path) -> None:
    archive = tmp_path / "configs.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("configs/cmn_Hani.yml")
        member.size = len(YAML)
        tar.addfile(member, io.BytesIO(YAML))
    found = settings.settings(["zho_Hans", "deu_Latn"], archive, {}, shared_words=True)
    chinese, german = found["zho_Hans"], found["deu_Latn"]
    assert chinese["code"] == "cmn_Hani"
    assert chinese["shingle"] == 10
    assert chinese["filters"]["gopher_repetition"]["top_n_grams"] == [[2, 0.2]]
    # A character has no length that a rule could judge.
    assert chinese["filters"]["gopher_quality"]["max_avg_word_length"] == 0
    assert german["filters"]["gopher_quality"] == {"min_stop_words": 0}
    assert german["lid_labels"] == ["de"]


def test_a_sample_has_as_many_bytes_of_each_language_whatever_the_order(corpus: Path) -> None:
    drawn = sample.draw(corpus, ["eng_Latn", "deu_Latn"], bytes_per_language=5_000)
    assert {code: len(rows) for code, rows in drawn.items()} == {"eng_Latn": 5, "deu_Latn": 5}
    more = sample.draw(corpus, ["eng_Latn"], bytes_per_language=9_000)
    assert more["eng_Latn"][:5] == drawn["eng_Latn"]
    assert sample.write(corpus / "sample", drawn) >= 10_000
    assert sample.read(corpus / "sample") == {code: list(rows) for code, rows in drawn.items()}


def test_noise_leaves_no_near_duplicates() -> None:
    text = " ".join(f"w{number % 97}x{number % 31}" for number in range(400))
    versions = [noise.noisy(text, number, has_spaces=True) for number in range(8)]
    assert versions[0] == text
    assert versions == [noise.noisy(text, number, has_spaces=True) for number in range(8)]
    sets = {str(n): near.shingles(v, has_spaces=True) for n, v in enumerate(versions)}
    assert near.exact_pairs(sets, 0.3) == set()


def test_noise_repeats_a_corpus_up_to_the_size_asked_for(corpus: Path) -> None:
    whole = sum(sample.sizes(corpus, ["eng_Latn"]).values())
    rows = list(noise.repeated(corpus, {"eng_Latn": True}, int(2.5 * whole)))
    assert len(rows) == 100
    assert len({row.id for row in rows}) == 100
    assert {row.language for row in rows} == {"eng_Latn"}
    few = list(noise.repeated(corpus, {"eng_Latn": True}, whole // 4))
    assert few[9].id.endswith("/36")
    assert len(few) <= 11


def test_memory_of_child_processes_counts() -> None:
    child = "import time; held = b'x' * 120_000_000; time.sleep(0.8)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    usage = memory.watch([sys.executable, "-c", parent])
    assert usage.returncode == 0
    assert 120e6 < usage.peak_bytes < 250e6
    assert usage.seconds > 0.8


def test_growth_above_linear_and_memory_above_the_ceiling_are_told() -> None:
    def row(stage: str, megabytes: float, seconds: float, peak: float) -> dict[str, object]:
        return {
            "stage": stage, "megabytes": megabytes, "seconds": seconds, "peak_megabytes": peak,
        }  # fmt: skip

    rows = [
        row("curate", 100, 10, 500),
        row("curate", 3000, 400, 900),
        row("encode", 100, 10, 500),
        row("encode", 3000, 600, 900),
        row("mix", 100, 1, 100),
        row("mix", 3000, 1, 2000),
    ]
    assert scaling.shortfalls(rows) == [
        "encode: 2.00 times as long a byte",
        "mix: 2,000 MB at 3000 MB",
    ]


def test_the_plot_is_an_svg_with_a_line_a_stage() -> None:
    chart = line_chart({"curate": [(100, 5), (3000, 150)], "a<b": [(100, 1), (3000, 20)]}, "x", "y")
    root = ElementTree.fromstring(chart)
    names = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"curate", "a<b", "100", "3000"} <= names
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_published_premiums_are_those_of_the_paper() -> None:
    found = tokenizers.published()
    assert round(found["GPT-2"]["tha_Thai"], 2) == 9.05
    assert found["XLM-R"]["eng_Latn"] == 1
    assert tokenizers.mean_premium(found["XLM-R"]) < tokenizers.mean_premium(found["LLaMA"])


def test_an_exponent_of_one_shares_by_size_and_of_zero_equally() -> None:
    sizes = {"a": 900, "b": 100}
    assert tokenizers.budgets(sizes, 1000, 1.0) == {"a": 900, "b": 100}
    assert tokenizers.budgets(sizes, 1000, 0.0) == {"a": 500, "b": 500}


def test_a_result_is_the_last_line_and_says_what_it_was_measured_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = results.tell("made", {"figure": 1}, ["numpy"], keep=False)
    assert capsys.readouterr().out.splitlines()[-1].startswith('{"benchmark": "made"')
    assert whole["cpu"]
    assert "numpy" in whole["versions"]
