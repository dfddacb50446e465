"""What is to be planned: a recipe and a profile, or all that is wrong with either or both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polylm_core.cli.checkout import profile_file
from polylm_core.errors import MachineError, ParamsError, Problem, TrainingError
from polylm_core.params import Params, load_params
from polylm_core.settings import Profile, load_profile
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig
from polylm_core.training.batches import BatchSizes
from polylm_core.training.plan import steps_of


@dataclass(frozen=True)
class Request:
    """A recipe and the profile that it is planned on."""

    recipe: Path
    params: Params
    profile_name: str
    profile: Profile


def load_request(recipe: Path, profiles: Path, profile: str | None) -> Request:
    """Load both, by default the profile that `POLYLM_PROFILE` names.

    Raises ParamsError with all that is wrong with either, each problem with its file where there
    are two, and with the two together.
    """
    problems: list[Problem] = []
    params = loaded = None
    try:
        params = load_params(recipe)
    except ParamsError as error:
        problems += _of_file(error)
    try:
        loaded = _profile(profile, profiles)
    except ParamsError as error:
        problems += _of_file(error)
    except MachineError as error:
        problems.append(Problem("profile", str(error)))
    if params is not None and loaded is not None:
        problems += together(params, loaded)
        if not problems:
            return Request(recipe, params, profile or "by POLYLM_PROFILE", loaded)
    on = profile or f"the profile of {profiles}"
    raise ParamsError(f"{recipe} on {on}", problems)


def _profile(name: str | None, profiles: Path) -> Profile:
    if name is None:
        return load_profile(profiles)
    path = profile_file(name, profiles)
    return load_profile(path.parent, path.stem)


def _of_file(error: ParamsError) -> Iterator[Problem]:
    for problem in error.problems:
        yield Problem(f"{error.file}: {problem.location}", problem.message, problem.value)


def together(params: Params, profile: Profile) -> list[Problem]:
    """Return what keeps a recipe from being planned on a profile."""
    config = params.pretrain
    if isinstance(config, ImportedBaseConfig):
        described = config.imported.model
        if described is None:
            message = "is not known before the model is fetched; state it to plan"
            return [Problem("pretrain.imported.model", message)]
        context = described.context_tokens
        return [*_phase_problems(params, context), *sharing_problems(params, context, profile)]
    problems = list(_phase_problems(params, config.model.context_tokens))
    batch, context = config.global_batch_tokens, config.model.context_tokens
    if params.vocab.vocab_size is None:
        message = "is not known before the vocabulary is imported; state vocab_size to plan"
        problems.append(Problem("vocab.vocab_size", message))
    if batch % context:
        message = f"is no multiple of pretrain.model.context_tokens ({context:,})"
        problems.append(Problem("pretrain.global_batch_tokens", message, batch))
    else:
        try:
            steps_of(batches_of(config), profile.training)
        except TrainingError as error:
            problems.append(Problem("training.workers", str(error), profile.training.workers))
    for number, stage in enumerate(params.mix.stages):
        tokens = params.mix.tokens_of(stage)
        if tokens < batch:
            message = f"a stage of {tokens:,} tokens does not fill one step of {batch:,}"
            problems.append(Problem(f"mix.stages.{number}", message))
    return problems


def batches_of(config: PretrainConfig) -> BatchSizes:
    """Return the windows of each step of pretraining."""
    full = config.global_batch_tokens // config.model.context_tokens
    return BatchSizes(full, config.ramp_windows)


def _phase_problems(params: Params, context_tokens: int) -> Iterator[Problem]:
    """Yield what keeps phases of fine-tuning from fitting a model of this context."""
    for number, phase in enumerate(params.finetune.phases):
        place, rows = f"finetune.phases.{number}", phase.context_tokens or context_tokens
        if rows > context_tokens:
            message = f"is more than the context of the base model ({context_tokens:,})"
            yield Problem(f"{place}.context_tokens", message, rows)
        if phase.global_batch_tokens % rows:
            message = f"is no multiple of the context of its rows ({rows:,})"
            yield Problem(f"{place}.global_batch_tokens", message, phase.global_batch_tokens)


def sharing_problems(params: Params, context_tokens: int, profile: Profile) -> Iterator[Problem]:
    """Yield each phase of fine-tuning whose batch the ranks of a profile cannot share."""
    for number, phase in enumerate(params.finetune.phases):
        sequences = phase.global_batch_tokens // (phase.context_tokens or context_tokens)
        try:
            steps_of(BatchSizes(sequences), profile.training)
        except TrainingError:
            workers = profile.training.workers
            fitting = [ranks for ranks in range(1, workers + 1) if sequences % ranks == 0]
            most = fitting[-1] if fitting else 1
            message = (
                f"steps of {sequences} sequences cannot be shared by {workers} ranks, but by "
                f"{most}: fine-tune on a profile with as many workers "
                "(POLYLM_PROFILE=NAME dvc repro finetune), or change global_batch_tokens"
            )
            yield Problem(f"finetune.phases.{number} ({phase.name})", message)
