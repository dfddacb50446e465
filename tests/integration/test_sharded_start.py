"""A model under `zero.Init` on one, two and three ranks: the same weights, each rank its part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from polylm_core.compute.local import LocalBackend
from polylm_core.training.job import TrainJob
from polylm_core.training.model import build
from tests.engines import make_engine_job, make_shape

pytestmark = pytest.mark.timeout(600)
STATE_BYTES = 28
"""Of a parameter under ZeRO-3 in float32: what computes, gradient, weight, two moments are 20; the
rest, by measurement, DeepSpeed takes for a while as it starts."""
SLACK_BYTES = 96 << 20


def started(folder: Path, jobs: list[TrainJob], world: int, *, steps: int = 0) -> None:
    """Start an engine for each job on some ranks."""
    backend = LocalBackend(map_workers=1, training_workers=world, threads_per_worker=1)
    config = {
        "folder": str(folder),
        "jobs": [job.model_dump(mode="json") for job in jobs],
        "steps": steps,
    }
    backend.launch(
        "tests.engine_ranks:start_engines",
        config,
        work=folder,
        sizes=[world],
        on_report=lambda _: None,
        on_note=lambda _: None,
    )


def gathered(folder: Path, number: int, world: int) -> dict[str, torch.Tensor]:
    """The flattened parameters that the ranks hold together."""
    ranks = [load_file(folder / f"{number}-{rank}.safetensors") for rank in range(world)]
    return {name: torch.cat([parts[name] for parts in ranks]) for name in ranks[0]}


def told(folder: Path, number: int, rank: int = 0) -> list[float]:
    """The peak of memory of a rank while it built a job's engine, and the losses."""
    return [float(line) for line in (folder / f"{number}-{rank}.txt").read_text().split()]


def jobs_of(folder: Path) -> list[TrainJob]:
    """Both architectures, in both precisions, drawn and from a folder with fewer pieces."""
    build(make_engine_job(folder)).save_pretrained(folder / "base")
    grown = {"init_from": folder / "base", "new_model": make_shape(vocab_size=71)}
    again: dict[str, Any] = {"recompute_activations": True, "precision": "bfloat16"}
    return [
        make_engine_job(folder),
        make_engine_job(folder, "llama", precision="bfloat16"),
        make_engine_job(folder, "llama", new_model=make_shape("llama", tied_embeddings=False)),
        make_engine_job(folder, **grown),
        make_engine_job(folder, offload_optimizer="cpu", offload_parameters="cpu", **again),
    ]


@pytest.mark.parametrize("world", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_together_hold_the_weights_of_one_that_has_all(world: int, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    started(tmp_path, jobs, world, steps=3 if world == 2 else 0)
    for number, job in enumerate(jobs):
        found = gathered(tmp_path, number, world)
        expected = {name: value.detach() for name, value in build(job).named_parameters()}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name].view(value.shape), value), (number, name)
        _, *losses = told(tmp_path, number)
        assert losses == sorted(losses, reverse=True)


def test_building_takes_each_rank_its_share_of_the_memory(tmp_path: Path) -> None:
    world = 2
    shape = make_shape(num_layers=8, hidden_size=768, vocab_size=4096)
    job = make_engine_job(tmp_path, new_model=shape)
    parameters = {name: value.numel() for name, value in build(job).named_parameters()}
    total, largest = sum(parameters.values()), max(parameters.values())
    started(tmp_path, [job], world)
    peaks = [told(tmp_path, 0, rank)[0] for rank in range(world)]
    share = STATE_BYTES * total / world
    assert max(peaks) < share + 4 * largest + SLACK_BYTES
    assert min(peaks) > share / 2, "that is what is measured"
    assert 4 * total / world > SLACK_BYTES, "a whole model would show"
