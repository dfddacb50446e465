"""Text for models and comparisons: what claims a language, and what is found to be in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polylm_core import remote
from polylm_core.errors import SourceError
from polylm_core.records import DOCUMENT_SCHEMA, Document, write_table
from polylm_core.stages.curate import quality
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.models import TrainingUnit, fetch_models, train_model
from polylm_core.stages.curate.scratch import Setting
from polylm_core.stages.curate.survey import SurveyUnit, merge_lines, survey
from tests.loopback import serve_files
from tests.unit.stages.curate_stage import CONFIG, LANGUAGES, document, sentence
from tests.unit.stages.ingest_inputs import sha256_of

CLASSIFIER = {"kind": "classifier", "trusted": ["books"], "drop_share": 0.2}


def setting(folder: Path, **changes: Any) -> Setting:
    judged = {"quality": {"by_language": {"eng_Latn": CLASSIFIER}}}
    config = CurateConfig.model_validate(CONFIG | judged | changes)
    made = Setting(config, 1, LANGUAGES, folder)
    made.models.mkdir()
    return made


def part(folder: Path, source: str, rows: list[Document]) -> Path:
    path = folder / source / "00000.parquet"
    write_table(path, rows, DOCUMENT_SCHEMA)
    return path


def crawled(key: str, text: str) -> Document:
    """A page: nobody says which language it is in."""
    return Document(f"crawl/und/{key}", text, "", "crawl", "MIT")


def test_a_classifier_learns_from_a_crawl_that_claims_no_language(tmp_path: Path) -> None:
    good = [document("eng_Latn", f"chapter/{number}") for number in range(20)]
    price = "buy cheap shoes online now with free delivery and the best price of all the shops"
    bad = [crawled(str(number), f"{price} {number}") for number in range(20)]
    german = [crawled(f"de{number}", document("deu_Latn", str(number)).text) for number in range(9)]
    parts = (part(tmp_path, "books", good), part(tmp_path, "crawl", [*bad, *german]))
    made = setting(tmp_path)

    train_model(TrainingUnit("eng_Latn", parts, made))

    config = made.config.quality.by_language["eng_Latn"]
    model = quality.load(config, "eng_Latn", made.trained_model("eng_Latn"))
    good_score, bad_score = model.score([document("eng_Latn", "new").text, f"{price} 99"])
    assert good_score > 0 > bad_score


def test_text_that_only_says_it_is_english_takes_no_lines_from_others(tmp_path: Path) -> None:
    mislabelled = replace(document("deu_Latn", "chapter/1"), language="eng_Latn")
    opted_out = document("eng_Latn", "chapter/2")
    made = setting(tmp_path, opt_out={"ids": [opted_out.id]})
    found = survey(SurveyUnit(0, part(tmp_path, "books", [mislabelled, opted_out]), made))
    assert len(np.load(found)) == 0


def test_english_lines_of_a_page_without_a_claim_are_known(tmp_path: Path) -> None:
    lines = "\n".join(sentence("eng_Latn", str(number)) for number in range(5))
    claimed = Document("books/eng_Latn/a", lines, "eng_Latn", "books", "MIT")
    german = crawled("b", document("deu_Latn", "chapter/1").text)
    made = setting(tmp_path)

    found = [
        survey(SurveyUnit(number, part(tmp_path, source, [row, german]), made))
        for number, (source, row) in enumerate([("books", claimed), ("crawl", crawled("a", lines))])
    ]

    merge_lines(found, made.english_lines)
    merged = np.load(made.english_lines)
    assert np.load(found[0]).tolist() == np.load(found[1]).tolist() == merged.tolist()
    assert len(merged) == 5


def declared_model(folder: Path, content: bytes) -> Setting:
    """A recipe that asks for a classifier of some bytes."""
    model = {"source": "models", "file": "lid.bin", "sha256": sha256_of(content)}
    identify = {**CONFIG["identify"], "model": model}
    config = CurateConfig.model_validate({**CONFIG, "identify": identify})
    return Setting(config, 1, LANGUAGES, folder / "work")


def test_a_model_comes_whole_from_a_server_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.01)
    content = b"model" * 10_000
    (tmp_path / "web").mkdir()
    (tmp_path / "web/lid.bin").write_bytes(content)
    made = declared_model(tmp_path, content)
    made.scratch.mkdir()
    with serve_files(tmp_path / "web") as served:
        served.errors["lid.bin"] = served.cuts["lid.bin"] = 1
        fetch_models(made, {"models": served.url})
    [found] = made.models.iterdir()
    assert found.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"other", "sha256 is [0-9a-f]{64}, declared is"), (None, "cannot be read .No such file")],
)
def test_a_model_that_is_not_the_declared_one_is_named_and_not_kept(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "lid.bin").write_bytes(content)
    made = declared_model(tmp_path, b"declared")
    made.scratch.mkdir()
    with pytest.raises(SourceError, match=rf"lid\.bin: {message}"):
        fetch_models(made, {"models": str(tmp_path)})
    assert list(made.models.iterdir()) == []
