"""`polylm doctor`: what keeps a run from starting or from ending, each with the mend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from polylm_core.cli import demands, machine, summary, surroundings
from polylm_core.cli.checkout import PARAMS, PROFILES
from polylm_core.cli.planning.ceiling import with_price
from polylm_core.cli.planning.request import Request, sharing_problems, together
from polylm_core.cli.surroundings import Check
from polylm_core.errors import PolyLMError
from polylm_core.params import Params, load_params
from polylm_core.pipeline import SOURCES, check_sources, require_sources, sources_fingerprint
from polylm_core.settings import Profile, load_profile
from polylm_core.stages.evaluate.judging.questions import read_questions
from polylm_core.stages.instruct.seeds import needed_seeds
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedFolder,
    unpinned_problem,
)
from polylm_core.teachers.places import require_place
from polylm_core.translators.places import require_translator

UNKNOWN_BEFOREHAND = ("vocab.vocab_size", "pretrain.imported.model")
"""What a run finds out itself, and only a plan has to be told."""
SHOWN_PACKAGES = ("torch", "deepspeed", "ray", "prefect", "fastapi", "dvc", "transformers")


def examined(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what was looked at, and what is wrong, each with its mend."""
    checks = [Check("python", sys.version.split()[0])]
    lacking = (check() for check in machine.BEFORE_RUN)
    checks += [Check("machine", "lacks something", problem) for problem in lacking if problem]
    checks += surroundings.packages(SHOWN_PACKAGES)
    checks += [surroundings.ports(root), surroundings.prefect(summary.prefect_ui(root))]
    recipe, profile, problems = _loaded(root)
    if profile is not None:
        checks += [
            surroundings.ray(profile),
            surroundings.gpus(profile),
            demands.processors(profile),
        ]
        checks += [found for found in (surroundings.buckets(profile),) if found is not None]
    if recipe is not None and profile is not None:
        checks += _demanded(root, recipe, profile)
        problems += _source_problems(root, recipe, profile)
    else:
        problems += _told(lambda: require_sources(root / SOURCES))
    told = [check.problem for check in checks if check.problem is not None]
    rows = [
        {"check": check.what, "found": check.found, "well": check.problem is None}
        for check in checks
    ]
    return {"checks": rows}, list(dict.fromkeys([*told, *problems]))


def _loaded(root: Path) -> tuple[Params | None, Profile | None, list[str]]:
    """The recipe and the profile, and every mistake in either file."""
    recipe = profile = None
    problems: list[str] = []
    try:
        recipe = load_params(root / PARAMS)
    except PolyLMError as error:
        problems.append(str(error))
    try:
        profile = load_profile(root / PROFILES)
        with_price(profile)
    except PolyLMError as error:
        problems.append(str(error))
    return recipe, profile, problems


def _demanded(root: Path, recipe: Params, profile: Profile) -> Iterator[Check]:
    """Yield what the recipe on this profile asks of the machine, or why it cannot be run on it."""
    request = Request(root / PARAMS, recipe, "by POLYLM_PROFILE", profile)
    problems = [
        problem
        for problem in together(recipe, profile)
        if not problem.location.startswith(UNKNOWN_BEFOREHAND)
    ]
    for problem in problems:
        yield Check(problem.location, "does not fit the profile", str(problem))
    base = recipe.pretrain
    if isinstance(base, PretrainConfig):
        for problem in sharing_problems(recipe, base.model.context_tokens, profile):
            yield Check(problem.location, "does not fit the profile", str(problem))
    yield from demands.locations(recipe, profile)
    if together(recipe, profile):
        return  # without sizes there is nothing to compare
    yield demands.memory(request)
    yield demands.disk(request, root)


def _source_problems(root: Path, recipe: Params, profile: Profile) -> list[str]:
    """What sources, seeds, teacher, translator, judge and the imported model lack."""
    sources, places = root / SOURCES, profile.source_locations
    problems = _told(lambda: check_sources(sources, recipe, places))
    problems += _told(lambda: sources_fingerprint(sources, recipe, places))
    written, translate = recipe.instruct.self_instruct, recipe.instruct.translate
    problems += _told(lambda: needed_seeds(recipe.instruct, sources))
    if written is not None:
        problems += _told(lambda: require_place(written.teacher, profile))
    if translate is not None:
        problems += _told(lambda: require_translator(translate.translator, profile))
    judge = recipe.evaluate.judge
    if judge is not None:
        problems += _told(lambda: require_place(judge.grader, profile))
        problems += _told(lambda: read_questions(judge, profile.benchmark_locations))
    base = recipe.pretrain
    if isinstance(base, ImportedBaseConfig) and isinstance(base.imported, ImportedFolder):
        unpinned = unpinned_problem(base.imported)
        problems += [] if unpinned is None else [f"pretrain.imported.sha256: {unpinned}"]
    return problems


def _told(check: Callable[[], object]) -> list[str]:
    """What a check that raises says."""
    try:
        check()
    except PolyLMError as error:
        return [str(error)]
    return []
