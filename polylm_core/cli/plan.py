"""`polylm plan`: what training a recipe would be, or everything that keeps it from being so.

What computes is imported where it is called, so that the other commands do not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from polylm_core.cli import finetune_plan
from polylm_core.cli.checkout import profile_file
from polylm_core.cli.plan_lines import (
    of_checkpoints,
    of_memory,
    of_model,
    of_partitions,
    of_shares,
)
from polylm_core.errors import MachineError, ParamsError, Problem, TrainingError
from polylm_core.params import Params, load_params
from polylm_core.settings import Profile, load_profile
from polylm_core.stages.pretrain.config import ModelConfig, PretrainConfig
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig
from polylm_core.training.batches import BatchSizes

if TYPE_CHECKING:
    from polylm_core.training.job import ModelShape
    from polylm_core.training.plan import Sizes, Step


def lines(recipe: Path, profiles: Path, profile: str | None) -> list[str]:
    """Return the plan of a recipe on a profile, by default the one `POLYLM_PROFILE` names.

    Raises ParamsError with all that is wrong with either, and with the two together.
    """
    params, execution, problems = _loaded(recipe, profiles, profile)
    if params is not None and execution is not None:
        problems += _problems(params, execution)
        if not problems:
            return _described(params, execution)
    on = profile or f"the profile of {profiles}"
    raise ParamsError(f"{recipe} on {on}", problems)


def _loaded(
    recipe: Path, profiles: Path, profile: str | None
) -> tuple[Params | None, Profile | None, list[Problem]]:
    problems: list[Problem] = []
    params = loaded = None
    try:
        params = load_params(recipe)
    except ParamsError as error:
        problems += error.problems
    try:
        loaded = _named(profile, profiles) if profile else load_profile(profiles)
    except ParamsError as error:
        problems += error.problems
    except MachineError as error:
        problems.append(Problem("profile", str(error)))
    return params, loaded, problems


def _named(name: str, profiles: Path) -> Profile:
    path = profile_file(name, profiles)
    return load_profile(path.parent, path.stem)


def _problems(params: Params, profile: Profile) -> list[Problem]:
    """What recipe and profile cannot do together."""
    from polylm_core.training.plan import steps_of

    config, problems = params.pretrain, list[Problem]()
    if isinstance(config, ImportedBaseConfig):
        described = config.imported.model
        problems += finetune_plan.imported_problems(config)
        if described is not None:
            problems += finetune_plan.problems_of(params, described.context_tokens)
        return problems
    problems += finetune_plan.problems_of(params, config.model.context_tokens)
    batch, context = config.global_batch_tokens, config.model.context_tokens
    if params.vocab.vocab_size is None:
        message = "is not known before the vocabulary is imported; state vocab_size to plan"
        problems.append(Problem("vocab.vocab_size", message))
    if batch % context:
        message = f"is no multiple of pretrain.model.context_tokens ({context:,})"
        problems.append(Problem("pretrain.global_batch_tokens", message, batch))
    else:
        try:
            steps_of(_batches(config), profile.training)
        except TrainingError as error:
            problems.append(Problem("training.workers", str(error), profile.training.workers))
    for number, stage in enumerate(params.mix.stages):
        tokens = params.mix.tokens_of(stage)
        if tokens < batch:
            message = f"a stage of {tokens:,} tokens does not fill one step of {batch:,}"
            problems.append(Problem(f"mix.stages.{number}", message))
    return problems


def _described(params: Params, profile: Profile) -> list[str]:
    config = params.pretrain
    if isinstance(config, ImportedBaseConfig):
        return _of_imported(params, config, profile)
    shape = _shape(config.model, params.vocab.vocab_size or 0)
    return [
        *_of_pretraining(params, config, shape, profile),
        *finetune_plan.lines_of(params, shape, profile),
    ]


def _of_imported(params: Params, config: ImportedBaseConfig, profile: Profile) -> list[str]:
    from polylm_core.training.plan import sizes_of

    described = config.imported.model
    assert described is not None
    shape = _shape(described, described.vocab_size)
    return [
        *of_model(sizes_of(shape), shape),
        *finetune_plan.lines_of(params, shape, profile),
        *finetune_plan.pins_of(config),
    ]


def _of_pretraining(
    params: Params, config: PretrainConfig, shape: ModelShape, profile: Profile
) -> list[str]:
    from polylm_core.training.plan import (
        Precision,
        memory_of,
        partitions_of,
        sizes_of,
        steps_of,
    )

    execution = profile.training
    sizes = sizes_of(shape)
    steps = steps_of(_batches(config), execution)
    step = steps[0]
    precision = Precision(config.precision, config.residual_precision)
    return [
        *of_model(sizes, shape),
        "",
        *_of_steps(params, config, sizes, steps),
        "",
        *of_partitions(partitions_of(sizes, step.world_size)),
        "",
        *of_memory(memory_of(sizes, shape, step, execution, precision), execution.accelerator),
        "",
        *of_checkpoints(sizes, step),
    ]


def _batches(config: PretrainConfig) -> BatchSizes:
    full = config.global_batch_tokens // config.model.context_tokens
    return BatchSizes(full, config.ramp_windows)


def _shape(config: ModelConfig, vocab_size: int) -> ModelShape:
    from polylm_core.tokenizer import BOS_ID, EOS_ID, PAD_ID
    from polylm_core.training.job import ModelShape

    return ModelShape(
        **config.model_dump(exclude={"vocab_size"}),
        vocab_size=vocab_size,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        pad_id=PAD_ID,
    )


def _of_steps(
    params: Params, config: PretrainConfig, sizes: Sizes, steps: list[Step]
) -> Iterable[str]:
    yield f"{steps[0].sequences:,} sequences a step"
    for step in steps:
        yield of_shares(step)
    batches, context = _batches(config), config.model.context_tokens
    for number, (windows, size) in enumerate(config.ramp_windows):
        which = "next" if number else "first"
        yield f"  {which} {windows * context:,} tokens in steps of {size:,} sequences"
    windows = done = 0
    for stage in params.mix.stages:
        read = params.mix.tokens_of(stage) // config.global_batch_tokens * batches.full
        windows += read
        count = batches.step_of(windows) - done
        done += count
        yield f"  {stage.name}: {count:,} steps, {read * context:,} tokens"
    tokens = windows * context
    yield f"  in all: {done:,} steps, {tokens:,} tokens"
    flops = sizes.flops_per_token
    yield f"  {flops:.3e} floating-point operations a token, {flops * tokens:.3e} in all"
