"""Sets of the catalogue from small files in their published forms: prompts, options and scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polylm_core.errors import MachineError, SourceError
from polylm_core.stages.evaluate.benchmarks import sentence_metrics, suite
from polylm_core.stages.evaluate.benchmarks.suite import (
    Benchmarked,
    find_benchmarks,
    pinned,
    run_benchmarks,
)
from polylm_core.stages.evaluate.config import BenchmarksConfig
from tests.support import make_run

SHARED = Path(__file__).parents[4] / "shared" / "data"


class Characters:
    """A tokenizer whose tokens are characters."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
        assert not add_special_tokens
        return list(text)


class Writer:
    """A language model to which all options are alike, and which writes one text."""

    rank, world_size, tokenizer_name = 0, 1, "writer"
    tokenizer = Characters()

    def __init__(self, text: str) -> None:
        self.text = text
        self.cut: dict[str, int] = {}

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        return [(-10.0, False)] * len(requests)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        return [self.text] * len(requests)


def ask(
    folder: Path, name: str, language: str, monkeypatch: pytest.MonkeyPatch, text: str = "",
    model: str = "base", **config: Any,
) -> Benchmarked:  # fmt: skip
    """Ask the set of a folder in one language."""
    declared = BenchmarksConfig.model_validate(
        {"sets": {name: {"languages": [language], **config}}, "models": [model]}
    )
    run = replace(make_run(folder / "run"), benchmark_locations={name: str(folder)})
    monkeypatch.setattr(suite, "_sharded", lambda *_: Writer(text))
    place = (folder, "writer", None)
    found = find_benchmarks(declared, run)
    return run_benchmarks(declared, found, {"base": place, "chat": place}, run, samples=20)


def values(found: Benchmarked, language: str) -> dict[str, tuple[float, int]]:
    return {s.metric: (s.value, s.items) for s in found.scores if s.language == language}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_xnli_is_scored_by_the_mean_of_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"premise": "Es regnet.", "hypothesis": "Die Straße ist nass.", "label": 0}
    write_rows(tmp_path / "de/test-00000-of-00001.parquet", [row, {**row, "label": 1}])
    found = ask(tmp_path, "xnli", "deu_Latn", monkeypatch)
    assert found.predictions[0].options == (
        "Es regnet., richtig? Ja, Die Straße ist nass.",
        "Es regnet., richtig? Auch, Die Straße ist nass.",
        "Es regnet., richtig? Nein, Die Straße ist nass.",
    )
    # All options are equally likely: the first wins, and the first of the longest by token.
    assert [json.loads(row.metrics) for row in found.predictions] == [
        {"acc": 1.0, "acc_per_token": 0.0}, {"acc": 0.0, "acc_per_token": 1.0},
    ]  # fmt: skip
    assert values(found, "deu_Latn") == {"acc": (0.5, 2), "acc_per_token": (0.5, 2)}


@pytest.mark.parametrize("form", ["hub", "first release"])
def test_pawsx_asks_yes_or_no_between_the_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    row = {"id": 1, "sentence1": "Er kam an.", "sentence2": "Er ging fort.", "label": 0}
    if form == "hub":
        write_rows(tmp_path / "de/test-00000-of-00001.parquet", [row])
    else:
        cells = "\t".join(map(str, row.values()))
        write(tmp_path / "de/test_2k.tsv", f"id\tsentence1\tsentence2\tlabel\n{cells}\n")
    found = ask(tmp_path, "pawsx", "deu_Latn", monkeypatch)
    assert found.predictions[0].options == (
        "Er kam an, richtig? Nein, er ging fort.", "Er kam an, richtig? Ja, er ging fort.",
    )  # fmt: skip
    assert values(found, "deu_Latn") == {"acc": (1.0, 1)}


def test_tydiqa_shows_one_example_of_the_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(split: str) -> list[dict[str, Any]]:
        return [
            {
                "id": f"{language}-{split}", "title": "T", "context": f"{split} context",
                "question": f"{split} in {language}?",
                "answers": {"text": [f"{split} answer"], "answer_start": [0]},
            }
            for language in ("finnish", "korean")
        ]  # fmt: skip

    for split in ("train", "validation"):
        path = tmp_path / f"secondary_task/{split}-00000-of-00001.parquet"
        write_rows(path, rows(split))
    found = ask(
        tmp_path, "tydiqa_goldp", "fin_Latn", monkeypatch, text="the validation answer here"
    )
    assert [row.prompts for row in found.predictions] == [
        (
            "Answer the question in one or a few words in Finnish.\ntrain context\n"
            "Question: train in finnish?\nAnswer: train answer\n\n"
            "Answer the question in one or a few words in Finnish.\nvalidation context\n"
            "Question: validation in finnish?\nAnswer:",
        )
    ]
    assert values(found, "fin_Latn") == {"f1": (0.8, 1), "exact_match": (0.0, 1)}


def test_belebele_asks_for_a_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "flores_passage": "Text.", "question": "Was? ", "correct_answer_num": "1",
        **{f"mc_answer{n}": f"a{n}" for n in range(1, 5)}, "dialect": "deu_Latn",
    }  # fmt: skip
    write(tmp_path / "data/deu_Latn.jsonl", json.dumps(row))
    found = ask(tmp_path, "belebele", "deu_Latn", monkeypatch)
    (prediction,) = found.predictions
    assert prediction.prompts == ("P: Text.\nQ: Was?\nA: a1\nB: a2\nC: a3\nD: a4\nAnswer:",)
    assert prediction.options == (" A", " B", " C", " D")
    assert values(found, "deu_Latn") == {"acc": (1.0, 1)}


def test_global_mmlu_asks_all_subjects_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "question": " Wie viel? ", **{f"option_{c}": c * 2 for c in "abcd"}, "answer": "B",
        "subject": "anatomy",
    }  # fmt: skip
    for split in ("dev", "test"):
        rows = [row, {**row, "subject": "virology", "answer": "A"}]
        write_rows(tmp_path / f"de/{split}-00000-of-00001.parquet", rows)
    found = ask(tmp_path, "global_mmlu", "deu_Latn", monkeypatch)
    assert found.predictions[0].prompts == ("Wie viel?\nA. aa\nB. bb\nC. cc\nD. dd\nAnswer:",)
    assert values(found, "deu_Latn") == {"acc": (0.5, 2)}


def test_mgsm_takes_the_last_number_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mgsm_de.tsv", "Janets Enten legen 16 Eier. Wie viele?\t18\nWas?\t1,200\n")
    found = ask(tmp_path, "mgsm", "deu_Latn", monkeypatch, text="Erst 16, dann 18.")
    assert found.predictions[0].prompts == (
        "Frage: Janets Enten legen 16 Eier. Wie viele?\nAntwort:",
    )
    assert values(found, "deu_Latn") == {"exact_match": (0.5, 2)}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("flores200_from_english", {"devtest/eng_Latn.devtest": 0, "devtest/deu_Latn.devtest": 1}),
        ("flores200_from_english", {"dev/eng_Latn.dev": 0, "dev/deu_Latn.dev": 1}),
        ("tatoeba_from_english", {"tatoeba.deu-eng.eng": 0, "tatoeba.deu-eng.deu": 1}),
    ],
)
def test_sentences_are_translated_by_polylms_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, int]
) -> None:
    sides = ["It rains today.\nThe cat sleeps.\n", "Es regnet heute.\nEs regnet heute.\n"]
    for file, side in files.items():
        write(tmp_path / file, sides[side])
    found = ask(tmp_path, name, "deu_Latn", monkeypatch, text="Es regnet heute.", shots=0)
    assert found.predictions[0].prompts == (
        "It rains today.\nTranslate this sentence from English to German.\n",
    )
    assert values(found, "deu_Latn")["chrf++"] == (pytest.approx(100.0), 2)


def test_both_sides_of_a_translation_are_looked_for_and_fingerprinted(tmp_path: Path) -> None:
    name, english = "flores200_from_english", "devtest/eng_Latn.devtest"
    declared = BenchmarksConfig.model_validate({"sets": {name: {"languages": ["deu_Latn"]}}})
    run = replace(make_run(tmp_path / "run"), benchmark_locations={name: str(tmp_path)})
    write(tmp_path / "devtest/deu_Latn.devtest", "Es regnet.\n")
    with pytest.raises(SourceError, match=f"lacks {english}"):
        find_benchmarks(declared, run)
    write(tmp_path / english, "It rains.\n")
    before = pinned(find_benchmarks(declared, run))
    write(tmp_path / english, "It pours.\n")
    assert pinned(find_benchmarks(declared, run)) != before


def test_no_item_is_its_own_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"sentence": f"{who} fell because _ slipped.", "option1": who, "option2": "Bob",
         "answer": "1"}
        for who in ("Ann", "Eve", "Ida")
    ]  # fmt: skip
    write(tmp_path / "test/en.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    found = ask(tmp_path, "xwinograd", "eng_Latn", monkeypatch, shots=2)
    for row, asked in zip(rows, found.predictions, strict=True):
        for prompt in asked.prompts:
            assert prompt.count(f"{row['option1']} fell because") == 1
    with pytest.raises(ValueError, match="has to be more than the 2 shots"):
        ask(tmp_path, "xwinograd", "eng_Latn", monkeypatch, shots=2, items_per_language=2)


def test_wmt20_shows_one_other_sentence_and_counts_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "今天下雨了。\tIt rains today again.\n猫在睡觉。\tThe cat sleeps a lot.\n"
    write(tmp_path / "zh-en.tsv", lines)
    found = ask(
        tmp_path, "wmt20_into_english", "zho_Hans", monkeypatch, text="It rains today again."
    )
    assert found.predictions[0].prompts == (
        "猫在睡觉。\nTranslate this sentence from Chinese to English.\n"
        "The cat sleeps a lot.\n\n"
        "今天下雨了。\nTranslate this sentence from Chinese to English.\n",
    )
    value, items = values(found, "zho_Hans")["bleu"]
    assert (items, 20 < value < 60) == (2, True)


def test_spbleu_that_cannot_be_had_is_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence_metrics, "SACREBLEU_DIR", str(tmp_path / "nowhere"))
    sentence_metrics._spbleu.cache_clear()
    with pytest.raises(MachineError, match=r"spBLEU is left out.*flores200"):
        sentence_metrics.spbleu("deu_Latn")


@pytest.mark.skipif(not SHARED.is_dir(), reason="Tatoeba does not lie in ../shared/data")
def test_the_published_tatoeba_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tarfile

    with tarfile.open(SHARED / "tatoeba112.tar.xz") as archive:
        members = [m for m in archive.getmembers() if "tatoeba.tha-eng." in m.name]
        archive.extractall(tmp_path, members, filter="data")
    found = ask(
        tmp_path / "tatoeba112", "tatoeba_into_english", "tha_Thai", monkeypatch, text="Tom"
    )
    assert len(found.predictions) == 548
    assert values(found, "tha_Thai")["chrf++"][1] == 548
