"""Tokens of each language in each stage of the curriculum, as far as they are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polylm_core.artifacts import Mixture
from polylm_core.errors import ArtifactError, StageError
from polylm_core.languages import ENGLISH
from polylm_core.params import Params
from polylm_core.pipeline import STAGES
from polylm_core.stages.mix.curriculum import StagePlan, solve_curriculum

PLENTY = 10**15
"""Tokens of a stream that nothing caps."""


def tokens_by_language(params: Params, root: Path) -> tuple[list[dict[str, Any]], str]:
    """Return rows (stage, stream, tokens, share), and in words where they are from."""
    made = _made(params, root)
    if made is not None:
        return made, "tokens by language: of data/05_mixture, which is made from these parameters"
    sizes, told = _assumed(params)
    pairs = {f"{ENGLISH}-{code}": PLENTY for code in params.languages if code != ENGLISH}
    try:
        plans = solve_curriculum(params.mix, sizes, pairs)
    except StageError as error:
        return [], f"tokens by language: not known before the text is; {error}"
    return list(_rows(plans)), f"tokens by language: {told}"


def _assumed(params: Params) -> tuple[dict[str, int], str]:
    """What there might be of each language, and the assumption in words."""
    known = next((stage for stage in params.mix.stages if stage.policy == "manual"), None)
    if known is None:
        told = "assumed that no language runs out and there is as much of each, pairs too"
        return dict.fromkeys(params.languages, PLENTY), told
    sizes = {code: int(known.weights.get(code, 0) * PLENTY) for code in params.languages}
    told = f"assumed that there is of each language as stage {known.name} has it, and no end"
    return sizes, told


def _rows(plans: list[StagePlan]) -> Iterator[dict[str, Any]]:
    for plan in plans:
        whole = sum(plan.tokens.values())
        for stream, tokens in plan.tokens.items():
            if tokens:
                yield {
                    "stage": plan.name,
                    "stream": stream,
                    "tokens": tokens,
                    "of_stage_share": tokens / whole,
                }


def _made(params: Params, root: Path) -> list[dict[str, Any]] | None:
    """The rows of the mixture that is there; none where it is of other parameters."""
    folder = root / STAGES["mix"].out
    try:
        written = Mixture.open(folder).manifest.params
        stages = json.loads((folder / "mixture.json").read_text(encoding="utf-8"))["stages"]
        made = {key: written[key] for key in params.mix.model_dump(mode="json")}
        languages = written.get("languages", list(params.languages))
    except (
        ArtifactError,
        OSError,
        ValueError,
        KeyError,
    ):  # nothing is made: it is a plan
        return None
    if made != params.mix.model_dump(mode="json") or languages != list(params.languages):
        return None
    return [
        {
            "stage": stage["name"],
            "stream": stream,
            "tokens": draw["tokens"],
            "of_stage_share": draw["tokens"] / stage["tokens"],
        }
        for stage in stages
        for stream, draw in stage["streams"].items()
    ]
