"""Translation of held-out pairs by the chat model, scored by chrF and BLEU (sacrebleu).

BLEU counts words, so Chinese is cut by sacrebleu's `zh` rule and other scripts without spaces
into characters; chrF (Popović 2015) needs no words and is the figure to compare languages by.
The baseline is the score of leaving the source as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from polylm_core.errors import StageError
from polylm_core.languages import get_language
from polylm_core.records import Pair
from polylm_core.stages.evaluate.config import TranslationConfig
from polylm_core.stages.evaluate.intervals import percentile_interval, resamples
from polylm_core.stages.evaluate.model import LoadedModel, chat_prompt, generate
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Score, Translation

SUITE = "translation"
FROM_ENGLISH, INTO_ENGLISH = "from_english", "into_english"


def ask(prompt: str, text: str, source: str, target: str) -> str:
    """Fill the configured prompt; languages are named in English."""
    return (
        prompt.replace("{source_language}", get_language(source).english_name)
        .replace("{target_language}", get_language(target).english_name)
        .replace("{text}", text)  # last: a text may hold braces of its own
    )


def translate_language(
    loaded: LoadedModel,
    pairs: Sequence[Pair],
    config: TranslationConfig,
    repetition_penalty: float,
) -> tuple[list[Translation], int]:
    """Translate the first pairs that fit the context, both ways; with the number that do not."""
    chosen, too_long = _choose(loaded, pairs, config)
    answers = generate(
        loaded,
        [ids for _, _, ids in chosen],
        max_new_tokens=config.max_new_tokens,
        repetition_penalty=repetition_penalty,
    )
    rows = [
        Translation(
            language=pair.language_b,
            direction=direction,
            id=pair.id,
            source=pair.text_a if direction == FROM_ENGLISH else pair.text_b,
            reference=pair.text_b if direction == FROM_ENGLISH else pair.text_a,
            output=answer.text,
            stopped=answer.stopped,
        )
        for (pair, direction, _), answer in zip(chosen, answers, strict=True)
    ]
    return sorted(rows, key=lambda row: row.direction), too_long


def _choose(
    loaded: LoadedModel, pairs: Sequence[Pair], config: TranslationConfig
) -> tuple[list[tuple[Pair, str, list[int]]], int]:
    """Pair, direction and prompt of each translation to make; with the number of misfits."""
    chosen: list[tuple[Pair, str, list[int]]] = []
    too_long = 0
    for pair in pairs:
        prompts = _prompts(loaded, pair, config.prompt)
        longest_prompt = max(map(len, prompts.values()))
        longest_reference = max(len(loaded.encode(text)) for text in (pair.text_a, pair.text_b))
        # A reference longer than the answer may be would score the limit, not the model.
        if (
            longest_prompt + config.max_new_tokens > loaded.context_tokens
            or longest_reference > config.max_new_tokens
        ):
            too_long += 1
            continue
        chosen += [(pair, direction, ids) for direction, ids in prompts.items()]
        if len(chosen) == 2 * config.items_per_language:
            break
    if not chosen:
        raise StageError(
            f"no held-out pair of {pairs[0].language_b} fits the context of "
            f"{loaded.context_tokens} tokens with evaluate.translation.max_new_tokens "
            f"{config.max_new_tokens}; change it or hold out more"
        )
    return chosen, too_long


def _prompts(loaded: LoadedModel, pair: Pair, prompt: str) -> dict[str, list[int]]:
    asked = {
        FROM_ENGLISH: ask(prompt, pair.text_a, pair.language_a, pair.language_b),
        INTO_ENGLISH: ask(prompt, pair.text_b, pair.language_b, pair.language_a),
    }
    return {
        direction: chat_prompt(loaded, [{"role": "user", "content": content}])
        for direction, content in asked.items()
    }


def score_translations(rows: Sequence[Translation], *, samples: int, seed: int) -> list[Score]:
    """Corpus chrF and BLEU by direction and language, and chrF's mean over the languages."""
    scores: list[Score] = []
    for direction in (FROM_ENGLISH, INTO_ENGLISH):
        languages = dict.fromkeys(row.language for row in rows)
        per_language = []
        for language in languages:
            of_language = [
                row for row in rows if (row.language, row.direction) == (language, direction)
            ]
            written = language if direction == FROM_ENGLISH else "eng_Latn"
            for name, metric in (("chrf", CHRF()), ("bleu", BLEU(tokenize=_words(written)))):
                figures = _figures(metric, of_language, samples, seed)
                scores.append(_score(f"{name}_{direction}", language, figures, len(of_language)))
                if name == "chrf":
                    per_language.append(figures)
        scores.append(
            _score(
                f"chrf_{direction}",
                ALL_LANGUAGES,
                np.mean(per_language, axis=0),
                sum(row.direction == direction for row in rows),
            )
        )
    return scores


def _words(language: str) -> str:
    """The sacrebleu rule that cuts a language into words."""
    entry = get_language(language)
    if entry.words == "spaces":
        return "13a"
    return "zh" if entry.script in ("Hans", "Hant") else "char"


def _figures(
    metric: Metric, rows: Sequence[Translation], samples: int, seed: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Score of leaving the source, of the output, and of the output's resamples, in this order."""
    references = [[row.reference for row in rows]]
    copied = metric.corpus_score([row.source for row in rows], references).score
    score = metric.corpus_score([row.output for row in rows], references).score
    # sacrebleu's own bootstrap takes its seed from the environment; its statistics are additive.
    statistics = np.array(
        metric._extract_corpus_statistics([row.output for row in rows], references)
    )
    draws = resamples(len(rows), samples, seed, SUITE, rows[0].language, rows[0].direction)
    resampled = [
        metric._compute_score_from_stats(total.tolist()).score
        for total in statistics[draws].sum(axis=1)
    ]
    return np.array([copied, score, *resampled])


def _score(
    metric: str,
    language: str,
    figures: np.ndarray[tuple[int], np.dtype[np.float64]],
    items: int,
) -> Score:
    low, high = percentile_interval(figures[2:])
    return Score(
        "chat", SUITE, metric, language, float(figures[1]), low, high, items, float(figures[0])
    )
