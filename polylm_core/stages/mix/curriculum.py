"""The whole curriculum in tokens, or everything that stands in its way at once.

In: what each stream holds, and the section of `params.yaml`. Out: the draws of each stage. Stages
are solved in order, because a bound over all stages leaves a later one what the earlier did not
take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from polylm_core.errors import StageError
from polylm_core.languages import ENGLISH
from polylm_core.stages.mix.config import CurriculumStageConfig, MixConfig
from polylm_core.stages.mix.solve import fill, lacking, proportional


@dataclass(frozen=True)
class StagePlan:
    """What one curriculum stage draws."""

    name: str
    policy: str
    tokens: dict[str, int]
    """By stream; the sum is the stage's budget."""


@dataclass(frozen=True)
class _Group:
    """Streams that share one budget."""

    what: str
    budget: int
    weights: Mapping[str, float]
    redistribute: bool
    """Whether the others take what one stream lacks."""


def solve_curriculum(
    config: MixConfig, languages: Mapping[str, int], pairs: Mapping[str, int]
) -> list[StagePlan]:
    """Tokens of each stream in each stage; `languages` and `pairs` are what the streams hold.

    Raises StageError with every stage, language and number of tokens that the text falls short of.
    """
    available = {**languages, **pairs}
    problems = _unknown_names(config, languages, available)
    drawn = dict.fromkeys(available, 0)
    plans = []
    for stage in config.stages if not problems else ():
        capacity = {name: _capacity(config, name, available[name], drawn) for name in available}
        tokens: dict[str, int] = {}
        for group in _groups(config, stage, languages, pairs):
            taken, short = _solve_group(stage, group, capacity, _floors(config, stage, available))
            tokens |= taken
            problems += [f"stage {stage.name}, {group.what}: {problem}" for problem in short]
        for name, count in tokens.items():
            drawn[name] += count
        plans.append(StagePlan(stage.name, stage.policy, dict(sorted(tokens.items()))))
    if problems:
        raise StageError(
            "the text does not hold the mixture that is asked for:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nadd text of these languages, lower the stage's tokens, its shares or floors, or "
            "raise mix.max_epochs or mix.max_epochs_by_stream"
        )
    return plans


def _capacity(config: MixConfig, name: str, size: int, drawn: Mapping[str, int]) -> int:
    """Tokens that a stage may still draw of a stream."""
    own = config.max_epochs_by_stream.get(name)
    in_stage = int(size * (own or config.max_epochs))
    if config.max_epochs_in_all is None:
        return in_stage
    return max(0, min(in_stage, int(size * (own or config.max_epochs_in_all)) - drawn[name]))


def _groups(
    config: MixConfig,
    stage: CurriculumStageConfig,
    languages: Mapping[str, int],
    pairs: Mapping[str, int],
) -> Iterator[_Group]:
    total = config.tokens_of(stage)
    bilingual = int(total * stage.bilingual_share)
    monolingual = total - bilingual
    exponent = config.exponent_of(stage)
    if stage.policy == "manual":
        yield _Group("languages", monolingual, stage.weights, redistribute=False)
    elif stage.non_english_share is None or ENGLISH not in languages:
        weights = _weights(stage, exponent, languages)
        yield _Group("languages", monolingual, weights, redistribute=True)
    else:
        others = {code: size for code, size in languages.items() if code != ENGLISH}
        non_english = int(monolingual * stage.non_english_share)
        yield _Group("English", monolingual - non_english, {ENGLISH: 1.0}, redistribute=True)
        weights = _weights(stage, exponent, others)
        yield _Group("languages other than English", non_english, weights, redistribute=True)
    yield _Group("aligned pairs", bilingual, _weights(stage, exponent, pairs), redistribute=True)


def _weights(
    stage: CurriculumStageConfig, exponent: float, sizes: Mapping[str, int]
) -> dict[str, float]:
    power = 0.0 if stage.policy == "unimax" else exponent
    return {name: float(size) ** power for name, size in sorted(sizes.items())}


def _floors(
    config: MixConfig, stage: CurriculumStageConfig, available: Mapping[str, int]
) -> dict[str, int]:
    total = config.tokens_of(stage)
    return {
        name: max(stage.min_tokens.get(name, 0), math.ceil(total * stage.min_share.get(name, 0.0)))
        for name in available
    }


def _solve_group(
    stage: CurriculumStageConfig,
    group: _Group,
    capacity: Mapping[str, int],
    all_floors: Mapping[str, int],
) -> tuple[dict[str, int], list[str]]:
    """Draws of a group and what is wrong with them; draws that fall short are what there is."""
    if not group.budget and not any(all_floors[name] for name in group.weights):
        return {}, []
    if not any(group.weights.values()):
        return {}, [f"{group.budget:,} tokens are asked for, and there is no such text"]
    floors = {name: all_floors[name] for name in group.weights}
    least = {name: min(floors[name], capacity[name]) for name in floors}
    problems = [
        f"{name} lacks {tokens:,} of its floor of {floors[name]:,} tokens"
        for name, tokens in sorted(lacking(floors, capacity).items())
    ]
    if sum(floors.values()) > group.budget:
        problems.append(
            f"the floors add to {sum(floors.values()):,} tokens, the budget is {group.budget:,}"
        )
        return least, problems
    demand = proportional(group.budget, group.weights)
    available = sum(capacity[name] for name in group.weights)
    short = lacking(demand, capacity)
    if available < group.budget or (short and not group.redistribute):
        problems += [
            f"{name} lacks {tokens:,} of {demand[name]:,} tokens"
            for name, tokens in sorted(short.items())
        ]
        if group.redistribute and len(group.weights) > 1:
            problems.append(f"{group.budget - available:,} tokens are lacking in all")
        return {name: min(count, capacity[name]) for name, count in demand.items()}, problems
    if not group.redistribute:
        return {name: count for name, count in demand.items() if count}, problems
    drawn = fill(group.budget, group.weights, capacity=capacity, floors=least)
    return {name: count for name, count in drawn.items() if count}, problems


def _unknown_names(
    config: MixConfig, languages: Mapping[str, int], available: Mapping[str, int]
) -> list[str]:
    """Problems with names that the recipe uses and the tokens do not have, or leave open."""
    named: list[tuple[str, Sequence[str]]] = [
        ("mix.max_epochs_by_stream", list(config.max_epochs_by_stream))
    ]
    problems = []
    for stage in config.stages:
        named += [
            (f"stage {stage.name}, min_tokens", list(stage.min_tokens)),
            (f"stage {stage.name}, min_share", list(stage.min_share)),
            (f"stage {stage.name}, weights", list(stage.weights)),
        ]
        if stage.policy == "manual":
            silent = sorted(languages.keys() - stage.weights.keys())
            if silent:
                problems.append(
                    f"stage {stage.name}: no weight for {', '.join(silent)}; 0 leaves one out"
                )
            aligned = sorted(stage.weights.keys() & (available.keys() - languages.keys()))
            if aligned:
                problems.append(
                    f"stage {stage.name}: weights are of languages, and {', '.join(aligned)} are "
                    "aligned pairs; bilingual_share draws those"
                )
    for place, names in named:
        unknown = sorted(set(names) - available.keys())
        if unknown:
            problems.append(f"{place}: no tokens of {', '.join(unknown)}")
    return problems
