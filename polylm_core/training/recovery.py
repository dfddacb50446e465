"""What a run does about steps that would harm the model: `guard.py` judges, `skips.py` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from polylm_core.training.events import Events
from polylm_core.training.guard import Anomaly, StepGuard
from polylm_core.training.job import CurriculumData, TrainJob
from polylm_core.training.metrics import MetricsFile
from polylm_core.training.skips import SKIPS_FILE, Skip, Skips
from polylm_core.training.step import Gauge
from polylm_core.training.trace import Trace


class Recovery:
    """The anomalies of one run; every rank decides alike."""

    def __init__(self, job: TrainJob, *, leads: bool, events: Events) -> None:
        self._job = job
        self._leads = leads
        self._events = events
        read = Skips(job.work / SKIPS_FILE, job.skip_steps) if leads else None
        told: list[Any] = [None if read is None else read.without_texts()]
        torch.distributed.broadcast_object_list(told)  # other ranks may not see the file
        self._skips: Skips = read or told[0]
        self._borders = _borders(job)
        self._guard = StepGuard(job.guard, self._borders)

    def start(self, metrics: MetricsFile) -> None:
        """Judge from here on as a run that measured this; every rank must call it."""
        measured = metrics.read() if self._leads else []
        found = [StepGuard.resumed(self._job.guard, self._borders, measured)]
        torch.distributed.broadcast_object_list(found)  # other ranks may not see the file
        self._guard = found[0]

    def counts(self, checkpoint: int) -> bool:
        """Whether a checkpoint may be gone on from: its weights are not those to get rid of."""
        return not self._skips.voids(checkpoint)

    def leaves_out(self, step: int) -> bool:
        """Whether a step, counted from 1, is one to leave out."""
        return step in self._skips

    def judge(self, step: int, gauge: Gauge) -> Anomaly | None:
        """Judge a step before its update."""
        return self._guard.check(step, gauge.loss, gauge.gradient_norm)

    def respond(self, anomaly: Anomaly, checkpoints: Sequence[int]) -> bool:
        """Write down what is left out; return whether the run goes back to a checkpoint.

        Raises TrainingError when it should not go on.
        """
        skip = self._skips.respond(
            anomaly,
            self._job.guard,
            last_good=self._guard.last_good,
            checkpoints=[step for step in checkpoints if step > 0],
        )
        if self._leads:
            skip = self._described(skip)
        self._skips.add(skip)
        if self._leads:
            self._skips.write()
        self._events.add(
            "steps-left-out",
            anomaly.step,
            first_step=skip.first_step,
            metric=skip.metric,
            value=str(skip.value),
            z=skip.z,
            checkpoint=skip.checkpoint,
        )
        torch.distributed.barrier()
        return skip.checkpoint is not None

    def _described(self, skip: Skip) -> Skip:
        """Add the documents and languages of the steps; chats of fine-tuning have no document."""
        data = self._job.data
        if not isinstance(data, CurriculumData):
            return skip
        trace = Trace(data, self._job.seed, tokens=next(iter(data.stream_files.values())).parent)
        steps = range(skip.first_step, skip.last_step + 1)
        return skip.holding(sight for step in steps for sight in trace.step(step))


def _borders(job: TrainJob) -> list[int]:
    """First steps of the later curriculum stages, counted from 1."""
    if not isinstance(job.data, CurriculumData):
        return []
    ends = accumulate(sum(windows.values()) for _, windows in job.data.stage_windows[:-1])
    return [job.data.batches.step_of(end) + 1 for end in ends]
