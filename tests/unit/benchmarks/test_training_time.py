"""What a run's own records say of its training, and what TaCo's comparison says of its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import taco
from benchmarks.training_time import in_words, training_time
from polylm_core.artifacts import ChatModelFolder, partial_folder, publish

RECORD = json.loads((Path(taco.__file__).parent / "results/taco.json").read_text(encoding="utf-8"))


def test_the_time_is_that_of_the_run_that_made_the_model(tmp_path: Path) -> None:
    counts = {"phases": {"taco": {"steps": 195}, "plain": {"steps": 91}}}
    folder = tmp_path / "data/08_chat"
    made = publish(
        ChatModelFolder, partial_folder(folder), folder, inputs={}, params={}, counts=counts
    )
    runs = tmp_path / "runs"
    profile = {"training": {"workers": 1, "sharding": "none"}}
    for name, fingerprint, seconds in (("a", "0" * 64, 9), ("b", made.fingerprint, 1569.586)):
        (runs / f"finetune-{name}").mkdir(parents=True)
        record = {"fingerprint": fingerprint, "seconds": seconds, "profile": profile}
        (runs / f"finetune-{name}/provenance.json").write_text(json.dumps(record))
    (runs / "finetune-b/spent.json").write_text('{"worker_seconds": 1531.2, "usd": 0.0}')
    took = training_time(tmp_path / "data", runs)
    assert took is not None
    assert in_words(took, runs) == (
        "training: 25.5 minutes on 1 ranks (sharding none) of the stage's 26.2; "
        "steps: plain 91, taco 195"
    )
    (runs / "finetune-b/provenance.json").unlink()
    assert training_time(tmp_path / "data", runs) is None
    assert "has no record of this run" in in_words(None, runs)


def test_a_folder_that_no_stage_made_has_no_time(tmp_path: Path) -> None:
    assert training_time(tmp_path, tmp_path / "runs") is None


def test_the_record_says_how_taco_stands_to_the_base() -> None:
    words = taco.in_words(RECORD)
    assert words == RECORD["in_words"]
    assert "below that of the base asked plainly (-1.2)" in words


@pytest.mark.parametrize(
    ("chrf", "p", "said"),
    [
        (16.84, 0.02, r"below that of the base asked plainly (-1.2, p 0.020): what tuning gives"),
        (16.84, 0.4, r"(-1.2, p 0.400, no difference that these questions can show)"),
        (20.0, 0.001, r"above that of the base asked plainly (+2.0, p 0.001)."),
        (18.01, 0.5, r"level with that of the base"),
    ],
)
def test_the_words_follow_the_figures(chrf: float, p: float, said: str) -> None:
    found = RECORD | {"taco": RECORD["taco"] | {"chrf": chrf}, "p_taco_base": p}
    assert said in taco.in_words(found)
