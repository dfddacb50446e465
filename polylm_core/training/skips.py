"""Which steps a run leaves out, why, and what text was in them, on disk beside its checkpoints.

What happens at an anomaly (`guard.py`), in the step and alike on all ranks:

1. The step's gradient is dropped before the update. The weights are then those after the last good
   step, which is as far as a rollback could lead, and the next step goes on from them with its own
   window and learning rate (as OLMo-core and Levanter skip a step).
2. When `rollback_after_steps` steps one after the other are anomalies, it is not the text: the
   weights had been damaged by a step that looked good. The run goes back to the newest checkpoint
   that is older than the last good step, and leaves out every window from there to the last
   anomaly, those "before and during the spike" (PaLM, section 5.1, which went back about 100 steps
   and left out 200 to 500 batches). The good ones among them must go as well: done again from the
   same checkpoint, they would lead to the same weights.
3. Beyond `max_skipped_steps`, or without a checkpoint old enough, the run ends with an error.

A step left out does nothing but take its number: no update, no measurement. A run that finds its
own record, or is given the list in its parameters, leaves the same steps out without trying them
and comes to the same weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from polylm_core.errors import TrainingError
from polylm_core.storage import write_atomic
from polylm_core.training.guard import Anomaly, GuardOptions, Metric
from polylm_core.training.trace import Sight

SKIPS_FILE = "skips.jsonl"


class Skip(BaseModel):
    """Steps that were left out for one anomaly; steps count from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    first_step: int
    last_step: int
    """The step of the anomaly."""
    metric: Metric
    value: float
    level: float | None
    z: float | None
    score: float | None
    """As in `guard.Anomaly`."""
    checkpoint: int | None
    """Step of the checkpoint that the run went back to; none when only the gradient was dropped."""
    languages: Mapping[str, int] = {}
    """Tokens by stream."""
    documents: Mapping[str, int] = {}
    """Tokens by document."""

    def holding(self, sights: Iterable[Sight]) -> Skip:
        """Return the same with what its steps would have seen."""
        languages, documents = Counter[str](), Counter[str]()
        for sight in sights:
            languages["-".join(sight.document.languages)] += sight.tokens
            documents[sight.document.id] += sight.tokens
        held = {"languages": dict(languages), "documents": dict(documents)}
        return self.model_copy(update=held)


class Skips:
    """The steps a run leaves out: those it was told to, and those it found itself."""

    def __init__(self, path: Path, declared: Sequence[tuple[int, int]] = ()) -> None:
        """Read the record, one `Skip` a line; `declared` are (first, last) steps.

        Raises TrainingError when the record cannot be read.
        """
        self._path = path
        self.found = _read(path)
        self._steps = {step for skip in self.found for step in _steps(skip)}
        self._declared = {step for first, last in declared for step in range(first, last + 1)}

    def without_texts(self) -> Skips:
        """Return the same without the names of documents, of which there can be millions."""
        brief = copy(self)
        brief.found = [skip.holding([]) for skip in self.found]
        return brief

    def __contains__(self, step: int) -> bool:
        return step in self._steps or step in self._declared

    def voids(self, checkpoint: int) -> bool:
        """Say whether a checkpoint holds the weights that a rollback was to get rid of."""
        return any(
            skip.checkpoint is not None and skip.checkpoint < checkpoint <= skip.last_step
            for skip in self.found
        )

    def respond(
        self, anomaly: Anomaly, options: GuardOptions, *, last_good: int, checkpoints: Iterable[int]
    ) -> Skip:
        """Return what to leave out for an anomaly; `checkpoints` are the steps of those at hand.

        Raises TrainingError when the run should not go on.
        """
        checkpoint = None
        if self._row_before(anomaly.step) + 1 >= options.rollback_after_steps:
            older = [step for step in checkpoints if step < last_good and not self.voids(step)]
            if not older:
                raise TrainingError(f"{_describe(anomaly)}; {self._hopeless(options)}")
            checkpoint = max(older)
        skip = Skip(
            first_step=anomaly.step if checkpoint is None else checkpoint + 1,
            last_step=anomaly.step,
            metric=anomaly.metric,
            value=anomaly.value,
            level=anomaly.level,
            z=anomaly.z,
            score=anomaly.score,
            checkpoint=checkpoint,
        )
        if (total := len(self._steps | set(_steps(skip)))) > options.max_skipped_steps:
            raise TrainingError(
                f"{_describe(anomaly)}; to go on, {total} steps would be left out, "
                f"more than guard.max_skipped_steps ({options.max_skipped_steps}): {REMEDY}"
            )
        return skip

    def add(self, skip: Skip) -> None:
        """Leave these steps out from now on, in this process."""
        self.found.append(skip)
        self._steps.update(_steps(skip))

    def write(self) -> None:
        """Make the record last; one rank does, before anything is undone."""
        text = "".join(skip.model_dump_json() + "\n" for skip in self.found)
        write_atomic(self._path, text.encode())

    def _row_before(self, step: int) -> int:
        """How many steps right before this one were tried and were anomalies."""
        tried = {skip.last_step for skip in self.found if skip.checkpoint is None}
        row = 0
        while step - row - 1 in tried:
            row += 1
        return row

    def _hopeless(self, options: GuardOptions) -> str:
        return (
            f"so were the {options.rollback_after_steps - 1} steps before it, and no checkpoint is "
            f"older than the last good step: {REMEDY}"
        )


REMEDY = (
    "lower the peak learning rate, train in float32, or take text out of the mixture, and train "
    "anew; `polylm trace step` says what a step saw"
)


def _describe(anomaly: Anomaly) -> str:
    name = anomaly.metric.replace("_", " ")
    usual = "" if anomaly.level is None else f", usually {anomaly.level:.4g} (z {anomaly.z:.1f})"
    return f"the {name} of step {anomaly.step:,} is {anomaly.value:.4g}{usual}"


def _steps(skip: Skip) -> range:
    return range(skip.first_step, skip.last_step + 1)


def _read(path: Path) -> list[Skip]:
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Skip.model_validate_json(line) for line in lines]
    except (UnicodeDecodeError, ValidationError) as error:
        raise TrainingError(
            f"{path} is no record of skipped steps; put it back as it was, or delete the run's "
            f"folder and train anew ({str(error).splitlines()[0]})"
        ) from error
