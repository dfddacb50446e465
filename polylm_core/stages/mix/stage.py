"""`mix`: from what `encode` counted to tokens of each stream in each curriculum stage.

PolyLM §3.3: a first stage with about 30 % text that is not English, a second with 60 % and more
aligned pairs. The published shares are of sources; here the shares of languages are solved.
"""

from __future__ import annotations

import json

from polylm_core.artifacts import Mixture, TokenSet, partial_folder
from polylm_core.stages.base import StageRun
from polylm_core.stages.mix.config import CurriculumStageConfig, MixConfig
from polylm_core.stages.mix.solve import Draw, share
from polylm_core.storage import no_space_named
from polylm_core.token_files import TokenFile, list_streams

ENGLISH = "eng_Latn"
MIXTURE_FILE = "mixture.json"


def mix(config: MixConfig, tokens: TokenSet, run: StageRun) -> Mixture:
    """Solve the curriculum and publish it as a Mixture.

    Raises StageError when a language has no tokens or the text cannot fill the budget.
    """
    languages = {code: _size(tokens, code) for code in run.languages}
    streams = list_streams(tokens.path / "train")
    pairs = {
        name: _size(tokens, name)
        for name in (f"{ENGLISH}-{code}" for code in run.languages)
        if name in streams
    }
    stages = [
        {
            "name": stage.name,
            "tokens": sum(draw.tokens for draw in draws.values()),
            "streams": {
                name: {"tokens": draw.tokens, "epochs": draw.epochs}
                for name, draw in sorted(draws.items())
            },
        }
        for stage in config.stages
        for draws in [_solve_stage(config, stage, languages, pairs)]
    ]
    partial = partial_folder(run.out)
    with no_space_named(partial):
        text = json.dumps({"stages": stages}, indent=1, sort_keys=True)
        (partial / MIXTURE_FILE).write_text(text + "\n", encoding="utf-8")
    run.progress.table("mixture", _rows(stages), "Tokens and epochs by stream and stage")
    counts = {"tokens": {str(stage["name"]): stage["tokens"] for stage in stages}}
    return run.publish(Mixture, partial, config, inputs={"encode": tokens}, counts=counts)


def _size(tokens: TokenSet, stream: str) -> int:
    return len(TokenFile.open(tokens.path / "train" / stream).tokens)


def _solve_stage(
    config: MixConfig,
    stage: CurriculumStageConfig,
    languages: dict[str, int],
    pairs: dict[str, int],
) -> dict[str, Draw]:
    """Return the draws of one curriculum stage: English, the other languages, the pairs."""
    total = int(config.tokens * stage.share_of_tokens)
    bilingual = int(total * stage.bilingual_share) if pairs else 0
    others = {code: size for code, size in languages.items() if code != ENGLISH}
    monolingual = total - bilingual
    share_of_others = stage.non_english_share if ENGLISH in languages else 1.0
    non_english = int(monolingual * share_of_others)
    budgets = {
        "English": (monolingual - non_english, {ENGLISH: languages.get(ENGLISH, 0)}),
        "languages other than English": (non_english, others),
        "aligned pairs": (bilingual, pairs),
    }
    draws: dict[str, Draw] = {}
    for what, (budget, available) in budgets.items():
        if budget > 0:
            draws |= share(
                budget,
                available,
                exponent=config.sampling_exponent,
                max_epochs=config.max_epochs,
                what=f"curriculum stage {stage.name!r}, {what}",
            )
    return draws


def _rows(stages: list[dict[str, object]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for stage in stages:
        streams = stage["streams"]
        assert isinstance(streams, dict)
        rows += [{"stage": stage["name"], "stream": name, **draw} for name, draw in streams.items()]
    return rows
