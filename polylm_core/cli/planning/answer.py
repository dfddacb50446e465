"""The plan of a recipe on a profile, as content that `output.show` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from polylm_core.cli.planning.asked import asked
from polylm_core.cli.planning.cost import Cost, Speed, budget_problems, cost_of, speed_of
from polylm_core.cli.planning.languages import tokens_by_language
from polylm_core.cli.planning.memory import memory_problems, memory_rows
from polylm_core.cli.planning.phases import Phase, phases_of
from polylm_core.cli.planning.prices import Accelerator, Prices
from polylm_core.cli.planning.request import Request, sharing_problems
from polylm_core.errors import ParamsError, Problem
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedFolder,
    unpinned_problem,
)
from polylm_core.training.plan import STATE_BYTES, STATE_FILES, partitions_of

TEXT_BYTES_PER_TOKEN = 4.0
"""Assumed: 2.7 to 5.9 by language with 64,000 entries (`benchmarks/results/tokenizers.json`)."""
TOKEN_BYTES = (2, 4)
"""Of a token in a file: two where every id fits, as Megatron-LM has it."""
SHORT_VOCABULARY = 65_500
"""Entries up to which Megatron-LM writes two bytes (`DType.optimal_dtype`)."""


@dataclass(frozen=True)
class Spending:
    """What a run costs, part by part."""

    rows: tuple[dict[str, Any], ...]
    total: Cost | None
    """Of the parts whose cost is known; none where none is."""

    @property
    def unknown(self) -> list[str]:
        """Parts whose money is not known."""
        return [f"{row['run']} {row['part']}" for row in self.rows if row["usd"] is None]


@dataclass(frozen=True)
class Known:
    """What is known beside recipe, profile and prices."""

    tokens_per_second: float | None = None
    """Of a rank, in pretraining, or in the first phase without it."""
    measured: Speed | None = None
    max_usd: float | None = None
    """The budget, in place of the profile's."""


def answer(
    request: Request, prices: Prices, known: Known, *, root: Path = Path()
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the plan, and the problems for which it is refused.

    Raises ParamsError for an accelerator that the table does not have.
    """
    params, profile = request.params, request.profile
    phases, machine = phases_of(params, profile), _machine(request, prices)
    first = phases[0].sizes.flops_per_token
    speed = known.measured or speed_of(
        profile, machine, first, tokens_per_second=known.tokens_per_second
    )
    spending = _spending(phases, speed, request, machine)
    streams, remarks, open_problems = _of_pretraining(request, phases, root)
    lacking = [problem for phase in phases for problem in memory_problems(phase, profile, machine)]
    content = {
        "recipe": str(request.recipe),
        "profile": request.profile_name,
        "model": _model(phases[0]),
        "tokens_by_language": list(_by_language(streams)),
        "runs": list(spending.rows),
        "ranks": list(_ranks(phases)),
        "memory_of_a_rank": [row for phase in phases for row in memory_rows(phase, profile)],
        "disk": disk_of(request, phases),
        "endpoints": asked(params, profile),
        "cost": _cost(spending.total, machine),
        "remarks": [
            *remarks,
            *_unstated(phases),
            *_assumptions(speed, machine),
            *_pins(request),
        ],
        "problems": [str(problem) for problem in (*open_problems, *lacking)],
    }
    usd = None if spending.total is None else spending.total.usd
    refused = budget_problems(usd, spending.unknown, profile, known.max_usd)
    return content, [*refused, *lacking]


def _of_pretraining(
    request: Request, phases: list[Phase], root: Path
) -> tuple[list[dict[str, Any]], list[str], list[Problem]]:
    """Tokens of its streams, where they are from, and phases after it that need another profile.

    Without a pretraining such phases are refused before anything is planned.
    """
    if not isinstance(request.params.pretrain, PretrainConfig):
        return [], [], []
    streams, told = tokens_by_language(request.params, root)
    context = phases[0].shape.context_tokens
    return streams, [told], list(sharing_problems(request.params, context, request.profile))


def _machine(request: Request, prices: Prices) -> Accelerator | None:
    name = request.profile.hardware.accelerator
    if name is None:
        return None
    if name not in prices.accelerators:
        message = f"no row of the table of prices (known: {', '.join(sorted(prices.accelerators))})"
        raise ParamsError(
            f"profile {request.profile_name}", [Problem("hardware.accelerator", message, name)]
        )
    return prices.accelerators[name]


def _model(phase: Phase) -> dict[str, Any]:
    sizes = phase.sizes
    base = sum(prod(side) for name, side in sizes.shapes.items() if ".lora_" not in name)
    return {
        "architecture": phase.shape.architecture,
        "parameters": base,
        "blocks": sizes.num_blocks,
        "operations_a_token": sizes.flops_per_token,
    }


def _by_language(streams: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row a language, one column a stage; the pairs together."""
    rows: dict[str, dict[str, Any]] = {}
    stages = dict.fromkeys(row["stage"] for row in streams)
    for row in streams:
        name = "pairs with English" if "-" in row["stream"] else row["stream"]
        empty = {"language": name} | {f"{stage}_tokens": 0 for stage in stages}
        rows.setdefault(name, empty)[f"{row['stage']}_tokens"] += row["tokens"]
    for found in rows.values():
        yield {**found, "all_tokens": sum(found[f"{stage}_tokens"] for stage in stages)}


def _spending(
    phases: list[Phase], speed: Speed | None, request: Request, machine: Accelerator | None
) -> Spending:
    rows: list[dict[str, Any]] = []
    costs: list[Cost | None] = []
    for phase in phases:
        for part in phase.parts:
            flops = None if part.tokens is None else part.tokens * phase.sizes.flops_per_token
            cost = None
            if speed is not None and flops is not None and part.steps and phase.ways:
                workers = phase.ways[0].world_size
                seconds = flops / (speed.flops * workers)
                cost = cost_of(seconds, seconds / part.steps, workers, request.profile, machine)
            costs.append(cost)
            rows.append(
                {
                    "run": phase.name,
                    "part": part.name,
                    "trains": phase.how,
                    "trained_parameters": phase.sizes.trained,
                    "tokens": part.tokens,
                    "steps": part.steps,
                    "operations": flops,
                    "seconds": cost and cost.seconds,
                    "usd": cost and cost.usd,
                }
            )
    return Spending(tuple(rows), _total([cost for cost in costs if cost is not None]))


def _total(known: list[Cost]) -> Cost | None:
    """The sum of what is known; none where nothing is."""
    if not known:
        return None
    seconds = sum(cost.seconds for cost in known)
    prices = [cost.usd for cost in known]
    usd = None if any(price is None for price in prices) else sum(filter(None, prices))
    lost = sum(cost.lost_share * cost.seconds for cost in known) / seconds
    return Cost(seconds, lost, sum(cost.interruptions for cost in known), usd)


def _cost(total: Cost | None, machine: Accelerator | None) -> dict[str, Any] | None:
    if total is None:
        return None
    return {
        "all_runs_seconds": total.seconds,
        "expected_interruptions": total.interruptions,
        "lost_to_interruptions_share": total.lost_share,
        "usd": total.usd,
        "prices_of": None if machine is None else f"{machine.date}: {machine.source}",
    }


def _ranks(phases: list[Phase]) -> Iterator[dict[str, Any]]:
    """How the ranks share a step, for every number of them that the profile allows."""
    for phase in phases:
        for way in phase.ways:
            partitions = partitions_of(phase.sizes, way.world_size)
            yield {
                "run": phase.name,
                "ranks": way.world_size,
                "sequences_a_step": way.sequences,
                "micro_batch": way.micro_batch,
                "accumulated": way.accumulation_steps,
                "parameters_of_a_rank": partitions.padded,
                "checkpoint_files": STATE_FILES * way.world_size,
            }
        for tokens, sequences in phase.ramp:
            yield {"run": f"{phase.name}, first {tokens:,} tokens", "sequences_a_step": sequences}


def disk_of(request: Request, phases: list[Phase]) -> dict[str, int]:
    """Return the bytes that a recipe writes, by what they are."""
    largest = max(phases, key=lambda phase: phase.sizes.trained)
    checkpoint = STATE_BYTES * largest.sizes.trained
    found = {
        "checkpoint_bytes": checkpoint,
        "kept_checkpoints_bytes": _kept_checkpoints_bytes(request, phases, checkpoint),
        "exported_models_bytes": 4 * sum(phase.sizes.parameters for phase in phases),
    }
    params = request.params
    if isinstance(params.pretrain, PretrainConfig):
        tokens = sum(params.mix.tokens_of(stage) for stage in params.mix.stages)
        entries = params.vocab.vocab_size or 0
        found |= {
            "corpus_tokens_bytes": tokens * TOKEN_BYTES[entries > SHORT_VOCABULARY],
            "corpus_text_bytes": int(tokens * TEXT_BYTES_PER_TOKEN),
        }
    return found


def _kept_checkpoints_bytes(request: Request, phases: list[Phase], largest: int) -> int:
    """The last ones and one that is being written, and those that stay for good."""
    checkpoints = request.profile.training.checkpoints
    kept = (checkpoints.keep_last + 1) * largest
    if checkpoints.keep_every_steps is None:
        return kept
    for phase in phases:
        steps = sum(part.steps or 0 for part in phase.parts)
        kept += steps // checkpoints.keep_every_steps * STATE_BYTES * phase.sizes.trained
    return kept


def _unstated(phases: list[Phase]) -> Iterator[str]:
    """Yield the runs that nobody knows the length of; they are in no sum."""
    for phase in phases:
        if any(part.tokens is None for part in phase.parts):
            yield (
                f"{phase.name}: as many steps as its examples fill, in no sum here; state its "
                "expected_tokens to plan them"
            )


def _assumptions(speed: Speed | None, machine: Accelerator | None) -> Iterator[str]:
    if speed is None:
        yield (
            "hours and money: nothing says how fast a rank is; name hardware.accelerator or "
            "hardware.rank_flops in the profile, or ask with --calibrate-seconds 60"
        )
    else:
        yield f"speed of a rank: {speed.flops / 1e12:.3g} TFLOP/s, {speed.known_by}"
    if machine is not None and machine.usd_per_hour is None:
        yield "money: the table has no price of this accelerator"
    yield (
        f"corpus: as if no text were repeated, {TEXT_BYTES_PER_TOKEN:g} bytes a token assumed; "
        "the text lies twice, as documents and as shards, compressed"
    )


def _pins(request: Request) -> Iterator[str]:
    """Yield what is to be put into the recipe before it can run."""
    config = request.params.pretrain
    if isinstance(config, ImportedBaseConfig) and isinstance(config.imported, ImportedFolder):
        problem = unpinned_problem(config.imported)
        if problem is not None:
            yield f"before it can run: pretrain.imported.sha256: {problem}"
