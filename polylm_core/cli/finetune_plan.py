"""What the phases of fine-tuning would be, for `polylm plan`: parameters, steps, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from polylm_core.cli.plan_lines import gigabytes, of_checkpoints, of_memory, of_shares
from polylm_core.errors import Problem, TrainingError
from polylm_core.params import Params
from polylm_core.settings import Profile
from polylm_core.stages.finetune.config import LoraMethod, PhaseConfig
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedFolder,
    unpinned_problem,
)

if TYPE_CHECKING:
    from polylm_core.training.job import LoraShape, ModelShape


def problems_of(params: Params, context_tokens: int) -> Iterator[Problem]:
    """Yield what keeps phases from fitting a model of this context."""
    for number, phase in enumerate(params.finetune.phases):
        place, rows = f"finetune.phases.{number}", phase.context_tokens or context_tokens
        if rows > context_tokens:
            message = f"is more than the context of the base model ({context_tokens:,})"
            yield Problem(f"{place}.context_tokens", message, rows)
        if phase.global_batch_tokens % rows:
            message = f"is no multiple of the context of its rows ({rows:,})"
            yield Problem(f"{place}.global_batch_tokens", message, phase.global_batch_tokens)


def lines_of(params: Params, shape: ModelShape, profile: Profile) -> Iterator[str]:
    """Yield the plan of each phase."""
    for phase in params.finetune.phases:
        yield ""
        yield from _of_phase(phase, params, shape, profile)


def _of_phase(
    phase: PhaseConfig, params: Params, shape: ModelShape, profile: Profile
) -> Iterator[str]:
    from polylm_core.training.batches import BatchSizes
    from polylm_core.training.plan import Precision, memory_of, sizes_of, steps_of

    rows = phase.context_tokens or shape.context_tokens
    lora = _lora(phase)
    sizes = sizes_of(shape, lora=lora, row_tokens=rows)
    how = "full" if lora is None else f"LoRA of rank {lora.rank}"
    sequences = phase.global_batch_tokens // rows
    yield f"finetune phase {phase.name}: {how}"
    yield f"  {sizes.trained:,} of {sizes.parameters:,} parameters are trained"
    yield f"  {sequences:,} sequences of {rows:,} tokens a step"
    try:
        steps = steps_of(BatchSizes(sequences), profile.training)
    except TrainingError as error:
        yield f"  not on this profile: {error}"
        return
    yield from map(of_shares, steps)
    yield from _of_tokens(phase, sizes.flops_per_token)
    precision = Precision(params.finetune.precision, "float32")
    cut = shape.model_copy(update={"context_tokens": rows})
    memory = memory_of(sizes, cut, steps[0], profile.training, precision)
    yield from of_memory(memory, profile.training.accelerator)
    yield from of_checkpoints(sizes, steps[0])
    if lora is not None:
        yield f"an adapter: {gigabytes(4 * sizes.trained)}"


def _of_tokens(phase: PhaseConfig, flops_per_token: int) -> Iterable[str]:
    if phase.expected_tokens is None:
        yield "  steps: as many as its examples fill; state expected_tokens to plan them"
        return
    tokens = int(phase.expected_tokens * phase.epochs)
    steps = tokens // phase.global_batch_tokens
    yield f"  about {steps:,} steps, {tokens:,} tokens in {phase.epochs:g} epochs"
    yield f"  {flops_per_token * tokens:.3e} floating-point operations in all"


def _lora(phase: PhaseConfig) -> LoraShape | None:
    from polylm_core.training.job import LoraShape

    method = phase.method
    if not isinstance(method, LoraMethod):
        return None
    return LoraShape(**method.model_dump(exclude={"kind"}))


def imported_problems(config: ImportedBaseConfig) -> list[Problem]:
    """Return what keeps an imported base from being planned."""
    if config.imported.model is None:
        message = "is not known before the model is fetched; state it to plan"
        return [Problem("pretrain.imported.model", message)]
    return []


def pins_of(config: ImportedBaseConfig) -> Iterator[str]:
    """Yield what is to be put into the recipe before it can run."""
    imported = config.imported
    problem = unpinned_problem(imported) if isinstance(imported, ImportedFolder) else None
    if problem is not None:
        yield ""
        yield f"before it can run: pretrain.imported.sha256: {problem}"
