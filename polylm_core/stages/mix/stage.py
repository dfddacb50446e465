"""`mix`: from what `encode` counted to tokens of each stream in each curriculum stage.

PolyLM §3.3: a first stage with about 30 % text that is not English, a second with 60 % and more
aligned pairs. Shares are of tokens, so they are solved here, after encoding.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.artifacts import Mixture, TokenSet, partial_folder
from polylm_core.errors import StageError
from polylm_core.languages import ENGLISH
from polylm_core.stages.base import StageRun
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.curriculum import StagePlan, solve_curriculum
from polylm_core.storage import no_space_named
from polylm_core.token_files import TokenFile, list_streams

MIXTURE_FILE = "mixture.json"
PLOT_FILE = "mixture.csv"
"""What `dvc plots` draws: a bar for each stream of each curriculum stage."""


@dataclass(frozen=True)
class _Stream:
    """What there is of one stream."""

    tokens: int
    bytes_per_token: float


def mix(config: MixConfig, tokens: TokenSet, run: StageRun) -> Mixture:
    """Solve the curriculum and publish it as a Mixture.

    Raises StageError when a language has no tokens or the text cannot fill the budget.
    """
    names = list_streams(tokens.path / "train")
    absent = [code for code in run.languages if code not in names]
    if absent:
        raise StageError(
            f"{', '.join(absent)}: no tokens in {tokens.path}; add a source for the language, or "
            "take it out of `languages`"
        )
    paired = [f"{ENGLISH}-{code}" for code in run.languages if f"{ENGLISH}-{code}" in names]
    streams = {name: _stream(tokens, name) for name in (*run.languages, *paired)}
    plans = solve_curriculum(
        config,
        {code: streams[code].tokens for code in run.languages},
        {name: streams[name].tokens for name in paired},
    )
    stages = [_stage(plan, streams) for plan in plans]
    partial = partial_folder(run.out)
    with no_space_named(partial):
        content = {"stages": stages, "streams": _totals(plans, streams)}
        text = json.dumps(content, indent=1, sort_keys=True)
        (partial / MIXTURE_FILE).write_text(text + "\n", encoding="utf-8")
        _write_plot(partial / PLOT_FILE, stages)
    run.progress.table("mixture", _rows(stages), "Tokens, bytes and epochs by stage and stream")
    counts = {"tokens": {stage["name"]: stage["tokens"] for stage in stages}}
    return run.publish(Mixture, partial, config, inputs={"encode": tokens}, counts=counts)


def _stream(tokens: TokenSet, name: str) -> _Stream:
    size = len(TokenFile.open(tokens.path / "train" / name).tokens)
    counted = tokens.counts["train"][name]
    whole = counted["tokens"] + counted["truncated_tokens"]
    return _Stream(size, counted["bytes"] / max(whole, 1))


def _stage(plan: StagePlan, streams: dict[str, _Stream]) -> dict[str, Any]:
    total = sum(plan.tokens.values())
    return {
        "name": plan.name,
        "policy": plan.policy,
        "tokens": total,
        "streams": {
            name: {**_draw(count, streams[name]), "share": round(count / total, 6)}
            for name, count in plan.tokens.items()
        },
    }


def _draw(count: int, stream: _Stream) -> dict[str, int | float]:
    return {
        "tokens": count,
        "bytes": round(count * stream.bytes_per_token),
        "epochs": round(count / stream.tokens, 6),
    }


def _totals(plans: Sequence[StagePlan], streams: dict[str, _Stream]) -> dict[str, Any]:
    """Of each stream over all stages: what there is and what is drawn of it."""
    return {
        name: {
            "available_tokens": stream.tokens,
            **_draw(sum(plan.tokens.get(name, 0) for plan in plans), stream),
        }
        for name, stream in streams.items()
    }


def _rows(stages: list[dict[str, Any]]) -> list[dict[str, object]]:
    return [
        {"stage": stage["name"], "stream": name, **draw}
        for stage in stages
        for name, draw in stage["streams"].items()
    ]


def _write_plot(path: Path, stages: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("stream", "tokens"))
        for row in _rows(stages):
            writer.writerow((f"{row['stage']}: {row['stream']}", row["tokens"]))
