"""A model on the line between two, in the engine and in what is written of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polylm_core.errors import TrainingError
from polylm_core.settings import CheckpointPolicy
from polylm_core.training import checkpoint
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.engine import Part
from polylm_core.training.events import Events
from polylm_core.training.interpolate import interpolate
from tests.engines import do_step, make_engine, make_engine_job, random_ids

pytestmark = pytest.mark.usefixtures("only_rank")


@pytest.mark.parametrize(
    "execution", [{}, {"offload_optimizer": "cpu"}, {"sharding": "none"}], ids=str
)
def test_an_engine_computes_with_the_weights_that_are_written(
    execution: dict[str, str], tmp_path: Path
) -> None:
    engine = make_engine(make_engine_job(tmp_path, **execution))
    for _ in range(3):
        do_step(engine, random_ids())
    tuned = {part.name: kinds["weight"].clone() for part, kinds in engine.parts(["weight"])}
    store = CheckpointStore(
        tmp_path, CheckpointPolicy(), Events(tmp_path / "events.jsonl", writes=True)
    )
    store.save(engine, 3)

    def base(part: Part) -> torch.Tensor:
        return torch.ones(part.stop - part.start)

    folder = checkpoint.folder_of(store.folder, 3)
    written = dict(interpolate(engine, base, folder, lambda: store.weights(3), 0.75)())
    for part, kinds in engine.parts(["weight"]):
        expected = 0.25 + 0.75 * tuned[part.name].flatten()
        torch.testing.assert_close(kinds["weight"].flatten(), expected)
        assert torch.equal(written[part.name].flatten(), kinds["weight"].flatten())
    assert written.keys() == tuned.keys()


def test_a_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    engine = make_engine(make_engine_job(tmp_path, sharding="none"))
    with pytest.raises(TrainingError, match="step-3 is no whole checkpoint"):
        interpolate(engine, lambda part: torch.zeros(0), tmp_path / "step-3", list, 0.5)
