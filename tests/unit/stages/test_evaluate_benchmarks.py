"""Published benchmarks as the stage asks them: found, asked in shards, kept and scored."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lm_eval.models.huggingface import HFLM
from pydantic import ValidationError

from polylm_core.compute.local import LocalBackend
from polylm_core.errors import SourceError, StageError
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.benchmarks import shards
from polylm_core.stages.evaluate.benchmarks.benchmark_set import HARNESS
from polylm_core.stages.evaluate.benchmarks.catalogue import SETS
from polylm_core.stages.evaluate.benchmarks.estimates import ESTIMATES
from polylm_core.stages.evaluate.benchmarks.find import find_sets
from polylm_core.stages.evaluate.benchmarks.readers import READERS
from polylm_core.stages.evaluate.benchmarks.squad_f1 import score_answer
from polylm_core.stages.evaluate.benchmarks.suite import (
    Benchmarked,
    find_benchmarks,
    pinned,
    run_benchmarks,
)
from polylm_core.stages.evaluate.benchmarks.tasks import drawn, task_file, write_tasks
from polylm_core.stages.evaluate.config import BenchmarksConfig
from polylm_core.stages.evaluate.harness import run_tasks
from polylm_core.stages.evaluate.model import load_model
from polylm_core.stages.evaluate.tables import Score, judged
from tests.support import make_run
from tests.unit.stages.evaluate_inputs import TEMPLATE, write_model

SHARED = Path(__file__).parents[4] / "shared" / "data"
CONFIG = BenchmarksConfig.model_validate(
    {
        "sets": {
            "xcopa": {"languages": ["ita_Latn"]},
            "xwinograd": {"languages": ["eng_Latn", "jpn_Jpan"]},
            "xquad": {"languages": ["deu_Latn"], "items_per_language": 2, "shots": 1},
        },
        "max_new_tokens": 6,
    }
)
XCOPA = [
    {"premise": "L'uomo aprì il rubinetto.", "choice1": "Il bagno si riempì d'acqua.",
     "choice2": "L'acqua fluì dal becco.", "question": "effect", "label": 1, "idx": 0},
    {"premise": "La donna andò in pensione.", "choice1": "Ricevette la pensione.",
     "choice2": "Estinse il mutuo.", "question": "effect", "label": 0, "idx": 1},
    {"premise": "Volevo risparmiare energia.", "choice1": "Spazzai il pavimento.",
     "choice2": "Spensi la luce.", "question": "effect", "label": 1, "idx": 2},
]  # fmt: skip
XWINOGRAD = [
    ["en", "original", "?",
     "The trophy doesn't fit into the brown suitcase because it is too large.",
     ["The", "trophy", "does", "n't", "fit", "into", "the", "brown", "suitcase", "because", "it",
      "is", "too", "large", "."], ["it", [10, 11], ["it"]],
     [["The trophy", [0, 2], ["The", "trophy"], True], ["suitcase", [8, 9], ["suitcase"], False]]],
    ["jp", "test", "?", "狙撃兵はテロリストを撃った。彼は悪漢だったからだ。",
     ["狙撃兵", "は", "テロリスト", "を撃った。", "彼", "は悪漢だったからだ。"],
     ["彼", [4, 5], ["彼"]],
     [["狙撃兵", [0, 1], ["狙撃兵"], False], ["テロリスト", [2, 3], ["テロリスト"], True]]],
]  # fmt: skip
QUESTIONS = ["Wer gewann?", "Wo war es?", "Wann war es?"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three sets in their first releases' forms."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("xcopa/it", "xwinograd", "xquad"):
        (folder / name).mkdir(parents=True)
    for split in ("val", "test"):
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in XCOPA)
        (folder / f"xcopa/it/{split}.jsonl").write_text(lines + "\n", "utf-8")
    table = [
        "\t".join(c if isinstance(c, str) else json.dumps(c) for c in row) for row in XWINOGRAD
    ]
    (folder / "xwinograd/dataset.tsv").write_text("\n".join(table) + "\n", "utf-8")
    asked = [
        {"id": str(n), "question": text, "answers": [{"text": "Bern", "answer_start": 8}]}
        for n, text in enumerate(QUESTIONS)
    ]
    paragraph = {"context": "Es war Bern.", "qas": asked}
    whole = json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]})
    (folder / "xquad/xquad.de.json.xz").write_bytes(lzma.compress(whole.encode()))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, chat_template=TEMPLATE)
    return folder


def run_in(folder: Path, data: Path) -> StageRun:
    locations = {name: str(data / name) for name in CONFIG.sets}
    return replace(make_run(folder, languages=("ita_Latn",)), benchmark_locations=locations)


def ask(run: StageRun, model: Path, config: BenchmarksConfig = CONFIG) -> Benchmarked:
    places: dict[str, shards.ModelPlace] = {
        name: (model, f"f-{name}", None) for name in ("base", "chat")
    }
    found = find_benchmarks(config, run)
    return run_benchmarks(config, found, places, run, samples=20)


@pytest.fixture(scope="module")
def benchmarked(
    data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Benchmarked]:
    folder = tmp_path_factory.mktemp("run")
    return folder, ask(run_in(folder, data), model)


def test_both_models_are_scored_on_every_set_and_language(
    benchmarked: tuple[Path, Benchmarked],
) -> None:
    found = {(s.model, s.suite, s.language): s for s in benchmarked[1].scores if s.metric != "f1"}
    suites = {
        "xcopa": ("", "ita_Latn"), "xwinograd": ("", "eng_Latn", "jpn_Jpan"),
        "xquad": ("", "deu_Latn"),
    }  # fmt: skip
    assert set(found) == {
        (model, suite, code)
        for model in ("base", "chat")
        for suite, codes in suites.items()
        for code in codes
    }
    italian = found["base", "xcopa", "ita_Latn"]
    assert (italian.items, italian.baseline, italian.verdict) == (3, 0.5, "not above chance")
    assert found["base", "xquad", "deu_Latn"].items == 2
    english, japanese = (found["base", "xwinograd", code] for code in ("eng_Latn", "jpn_Jpan"))
    assert found["base", "xwinograd", ""].value == (english.value + japanese.value) / 2


def test_scores_are_those_of_the_harness_alone(
    benchmarked: tuple[Path, Benchmarked], data: Path, model: Path, tmp_path: Path
) -> None:
    loaded = load_model(model, "peer", None)
    peer: Any = HFLM(
        pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2, max_length=160
    )
    run = run_in(tmp_path, data)
    places = [place for place in find_benchmarks(CONFIG, run) if place.benchmark.kind == "options"]
    asked = write_tasks(CONFIG, places, tmp_path / "tasks", model="base", seed=run.seed)
    results = run_tasks(peer, tmp_path / "tasks", [ask.task for ask in asked], seed=run.seed)
    for one in asked:
        rows = [
            row
            for row in benchmarked[1].predictions
            if (row.model, row.suite, row.language)
            == ("base", one.benchmark.name, one.language)
        ]  # fmt: skip
        theirs = results["samples"][one.task]
        assert [json.loads(row.metrics)["acc"] for row in rows] == [s["acc"] for s in theirs]
        for row, sample in zip(rows, theirs, strict=True):
            values = [value for value, _ in sample["filtered_resps"]]
            assert row.log_likelihoods == pytest.approx(values, abs=1e-4)
            assert row.prompts == tuple(dict.fromkeys(given[0] for given in sample["arguments"]))


def test_a_chat_model_is_asked_through_its_template_without_examples(
    data: Path, model: Path, tmp_path: Path
) -> None:
    sets = {"xquad": {"languages": ["deu_Latn"]}}
    config = BenchmarksConfig.model_validate({"sets": sets, "max_new_tokens": 6})
    rows = {row.model: row for row in ask(run_in(tmp_path, data), model, config).predictions}
    assert rows["chat"].prompts[0].startswith("<|user|>\nKontext: Es war Bern.")
    assert rows["chat"].prompts[0].endswith("<|assistant|>\n")
    assert rows["base"].prompts[0].startswith("Kontext: Es war Bern.")
    assert "\n" not in rows["base"].output


class _Interrupted(Exception):
    pass


class _CountingBackend:
    """Counts what is asked, and ends in the middle of it."""

    training_workers = 1

    def __init__(self, last: int) -> None:
        self.asked = 0
        self._last = last

    def map(self, function: Any, items: Sequence[Any]) -> Any:
        for item in items:
            if self.asked == self._last:
                raise _Interrupted
            self.asked += 1
            yield function(item)

    def launch(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError


def test_an_evaluation_that_was_ended_goes_on_where_it_was(
    benchmarked: tuple[Path, Benchmarked],
    data: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "ITEMS_PER_SHARD", 1)
    run = run_in(tmp_path, data)
    first, second, third = _CountingBackend(7), _CountingBackend(100), _CountingBackend(0)
    with pytest.raises(_Interrupted):
        ask(replace(run, backend=first), model)
    found = ask(replace(run, backend=second), model)
    assert first.asked + second.asked == 2 * (3 + 2 + 2)  # models times items, each once
    again = ask(replace(run, backend=third), model)
    assert again == found
    assert [s.value for s in found.scores] == [s.value for s in benchmarked[1].scores]


def test_two_workers_answer_as_one_does(
    benchmarked: tuple[Path, Benchmarked], data: Path, model: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"models": ("base",)})
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        found = ask(replace(run_in(tmp_path, data), backend=backend), model, config)
    alone = [row for row in benchmarked[1].predictions if row.model == "base"]
    assert found.predictions == alone


def test_another_model_or_other_code_is_asked_afresh(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    shard = shards.Shard("loglikelihood", (("Press", " the key"),))
    counts = []
    for place, code in (("a", "1"), ("a", "1"), ("b", "1"), ("b", "2")):
        backend = _CountingBackend(9)
        monkeypatch.setattr(shards, "code_fingerprint", lambda code=code: code)
        shards.answer_shards((model, place, None), [shard], replace(run, backend=backend))
        counts.append(backend.asked)
    assert counts == [1, 0, 1, 1]


def test_shards_depend_on_the_items_alone() -> None:
    class Request:
        def __init__(self, task: str, item: int, option: int) -> None:
            self.task_name, self.doc_id, self.args = task, item, (task, str(item), option)

    requests = [
        Request(task, item, option) for task in "ab" for item in range(200) for option in range(2)
    ]
    found = shards.cut_shards("loglikelihood", requests)
    assert [len(shard.arguments) for shard in found] == [256, 144, 256, 144]
    assert [given for shard in found for given in shard.arguments] == [r.args for r in requests]


def test_missing_sets_are_all_named_with_their_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setattr("polylm_core.stages.evaluate.benchmarks.find._cached", lambda *_: None)
    run = replace(run_in(tmp_path, data), benchmark_locations={"xquad": str(tmp_path)})
    with pytest.raises(SourceError) as caught:
        find_benchmarks(CONFIG, run)
    told = str(caught.value)
    assert "3 benchmarks are not here" in told
    assert (
        "hf download --repo-type dataset --revision 042f78955ba48e6404616762fa6e05e839c3907a "
        "cambridgeltl/xcopa --include 'it/validation-*.parquet' --include 'it/test-*.parquet'"
    ) in told
    assert "Muennighoff/xwinograd --include test/en.jsonl --include test/jp.jsonl" in told
    assert "benchmark_locations.xquad`, lacks xquad.de/validation-*.parquet" in told


def test_a_broken_file_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "xquad.de.json").write_text("{}")
    (found,) = find_sets([(SETS["xquad"], ["deu_Latn"])], {"xquad": str(tmp_path)})
    with pytest.raises(SourceError, match=r"xquad.de.json is not a file of XQuAD.*hf download"):
        list(found.rows("deu_Latn", "validation"))


def test_the_hubs_form_is_read_too(data: Path, tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    for split in ("validation", "test"):
        pq.write_table(pa.Table.from_pylist(XCOPA), tmp_path / f"it/{split}-00000-of-00001.parquet")
    (hub,) = find_sets([(SETS["xcopa"], ["ita_Latn"])], {"xcopa": str(tmp_path)})
    (local,) = find_sets([(SETS["xcopa"], ["ita_Latn"])], {"xcopa": str(data / "xcopa")})
    assert list(hub.rows("ita_Latn", "test")) == list(local.rows("ita_Latn", "test"))
    assert pinned([hub]) != pinned([local])


def test_a_pronoun_is_replaced_where_it_stands(data: Path) -> None:
    codes = ["eng_Latn", "jpn_Jpan"]
    (found,) = find_sets([(SETS["xwinograd"], codes)], {"xwinograd": str(data / "xwinograd")})
    (english,) = found.rows("eng_Latn", "test")
    assert english["sentence"].endswith("brown suitcase because _ is too large.")
    assert (english["option1"], english["option2"], english["answer"]) == (
        "The trophy", "suitcase", "1",
    )  # fmt: skip
    (japanese,) = found.rows("jpn_Jpan", "test")
    assert japanese["sentence"] == "狙撃兵はテロリストを撃った。_は悪漢だったからだ。"
    assert japanese["answer"] == "2"


@pytest.mark.parametrize(
    ("written", "f1", "exact"),
    [
        ("The  Carolina Panthers!", 1.0, 1.0),
        ("Panthers of Carolina", 4 / 5, 0.0),
        ("308", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_answers_are_held_against_the_first_published_one(
    written: str, f1: float, exact: float
) -> None:
    answers = {"answers": {"text": ["Carolina Panthers", "308"], "answer_start": [0, 0]}}
    found = score_answer(answers, [written])
    assert found == {"f1": pytest.approx(f1), "exact_match": exact}


def test_items_are_drawn_by_the_seed_and_keep_their_order() -> None:
    rows = [{"n": number} for number in range(50)]
    chosen = drawn(rows, 10, seed=1)
    assert chosen == sorted(chosen, key=lambda row: row["n"])
    assert len(chosen) == 10
    assert chosen != drawn(rows, 10, seed=2)
    assert drawn(rows, 60, seed=1) == rows


@pytest.mark.parametrize("name", sorted(SETS))
def test_the_catalogue_names_what_there_is(name: str) -> None:
    benchmark = SETS[name]
    assert {form.read for form in benchmark.forms} <= set(READERS)
    assert {metric.estimate for metric in benchmark.metrics} <= set(ESTIMATES)
    assert all(benchmark.scored in form.splits for form in benchmark.forms)
    assert (benchmark.hub and benchmark.revision) or benchmark.fetch
    for code in benchmark.languages.values():
        assert task_file(benchmark, code).is_file(), benchmark.task.removeprefix(HARNESS)


def test_an_unknown_set_or_language_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"no benchmark 'xcoba'; known: .*xcopa"):
        BenchmarksConfig.model_validate({"sets": {"xcoba": {}}})
    with pytest.raises(ValidationError, match="xcopa has no deu_Latn; it has est_Latn"):
        BenchmarksConfig.model_validate({"sets": {"xcopa": {"languages": ["deu_Latn"]}}})


def test_a_set_without_one_of_the_recipes_languages_is_named(data: Path, tmp_path: Path) -> None:
    config = BenchmarksConfig.model_validate({"sets": {"xquad": {}}})
    with pytest.raises(StageError, match=r"xquad: none of `languages`.*deu_Latn"):
        find_benchmarks(config, run_in(tmp_path, data))


def test_an_answer_as_long_as_the_context_is_refused(
    data: Path, model: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"max_new_tokens": 160})
    with pytest.raises(StageError, match=r"max_new_tokens is 160, the context of .* 160 tokens"):
        ask(run_in(tmp_path, data), model, config)


@pytest.mark.parametrize(
    ("low", "baseline", "verdict"),
    [(0.51, 0.5, "above chance"), (0.5, 0.5, "not above chance"), (0.9, None, "")],
)
def test_chance_is_said_in_words(low: float, baseline: float | None, verdict: str) -> None:
    score = Score("base", "xcopa", "acc", "", 0.95, low, 0.99, 9, baseline)
    assert judged(score).verdict == verdict


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
@pytest.mark.parametrize(
    ("name", "items", "longest"),
    [
        ("xcopa", {"ind_Latn": 500, "zho_Hans": 500}, "premise"),
        ("xwinograd", {"eng_Latn": 2325, "jpn_Jpan": 959, "zho_Hans": 16}, "sentence"),
        ("xquad", {"deu_Latn": 1190, "tha_Thai": 1190}, "context"),
    ],
)
def test_the_real_sets_are_read_whole(name: str, items: dict[str, int], longest: str) -> None:
    (found,) = find_sets([(SETS[name], list(items))], {name: str(SHARED / name)})
    for code, count in items.items():
        rows = list(found.rows(code, SETS[name].scored))
        assert len(rows) == count
        assert all(row[longest].strip() for row in rows)
        if name == "xwinograd":
            assert all(row["sentence"].count("_") == 1 for row in rows)
            assert {row["answer"] for row in rows} == {"1", "2"}
        assert rows[0].keys() == rows[-1].keys()
