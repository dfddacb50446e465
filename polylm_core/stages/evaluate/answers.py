"""Answers to held-out instructions: do they end, repeat, and keep to the language asked for?

"Language confusion" (Marchisio et al. 2024) is an answer in another language than the one asked
for; here it is what fastText's lid.176 says of the whole answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from statistics import median

import numpy as np

from polylm_core.errors import StageError
from polylm_core.identify import can_identify, identify, is_in_language
from polylm_core.records import Instruction
from polylm_core.stages.evaluate.config import AnswersConfig
from polylm_core.stages.evaluate.intervals import percentile_interval, resamples, wilson
from polylm_core.stages.evaluate.model import Generated, LoadedModel, chat_prompt, generate
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Answer, Score

SUITE = "answers"


def by_turns(instructions: Iterable[Instruction], seed: int) -> list[Instruction]:
    """Instructions in an order of `seed`, the languages by turns."""
    by_language: dict[str, list[Instruction]] = {}
    for instruction in instructions:
        by_language.setdefault(instruction.language, []).append(instruction)
    for group in by_language.values():
        group.sort(key=lambda row: hashlib.sha256(f"{seed}\0{row.id}".encode()).digest())
    turns = zip_longest(*(by_language[language] for language in sorted(by_language)))
    return [row for turn in turns for row in turn if row is not None]


def answer_instructions(
    loaded: LoadedModel,
    instructions: Iterable[Instruction],
    config: AnswersConfig,
    *,
    repetition_penalty: float,
    seed: int,
) -> tuple[list[Answer], int]:
    """Answer the instructions that fit the context; with the number passed over as too long."""
    chosen: list[tuple[Instruction, list[int]]] = []
    too_long = 0
    for instruction in by_turns(instructions, seed):
        if len(chosen) == config.prompts:
            break
        prompt = _prompt(loaded, instruction)
        if len(prompt) + config.max_new_tokens > loaded.context_tokens:
            too_long += 1
        else:
            chosen.append((instruction, prompt))
    if not chosen:
        raise StageError(
            f"none of {too_long} held-out instructions fits the context of "
            f"{loaded.context_tokens} tokens; lower evaluate.answers.max_new_tokens"
        )
    generated = generate(
        loaded,
        [prompt for _, prompt in chosen],
        max_new_tokens=config.max_new_tokens,
        repetition_penalty=repetition_penalty,
    )
    rows = [_row(row, answer) for (row, _), answer in zip(chosen, generated, strict=True)]
    return rows, too_long


def _row(instruction: Instruction, answer: Generated) -> Answer:
    label = identify(answer.text)
    return Answer(
        id=instruction.id,
        language=instruction.language,
        prompt_language=instruction.prompt_language,
        origin=instruction.origin,
        prompt=instruction.messages[-2].content,
        reference=instruction.messages[-1].content,
        answer=answer.text,
        answer_tokens=answer.tokens,
        stopped=answer.stopped,
        identified_label=label,
        in_language=_judged(label, instruction.language),
    )


def _judged(label: str, language: str) -> bool | None:
    return is_in_language(label, language) if can_identify(language) else None


def _prompt(loaded: LoadedModel, instruction: Instruction) -> list[int]:
    messages = instruction.messages[:-1]
    return chat_prompt(loaded, [{"role": m.role, "content": m.content} for m in messages])


def score_answers(rows: Sequence[Answer], *, samples: int, seed: int) -> list[Score]:
    """Shares and the median length, over all answers and by the language asked for."""
    repeats = _repeats(rows)
    languages = sorted({row.language for row in rows})
    groups = {ALL_LANGUAGES: list(range(len(rows)))} | {
        language: [n for n, row in enumerate(rows) if row.language == language]
        for language in languages
    }
    scores: list[Score] = []
    for language, members in groups.items():
        shares: dict[str, list[bool | None]] = {
            "in_language_share": [rows[n].in_language for n in members],
            "stopped_share": [rows[n].stopped for n in members],
            "identical_share": [repeats[n] for n in members],
        }
        for metric, judged in shares.items():
            flags = [flag for flag in judged if flag is not None]
            if not flags:
                continue  # lid.176 knows none of these languages
            low, high = wilson(sum(flags), len(flags))
            value = sum(flags) / len(flags)
            scores.append(
                Score("chat", SUITE, metric, language, value, low, high, len(flags), None)
            )
        scores.append(_length(language, [rows[n].answer_tokens for n in members], samples, seed))
    return scores


def _repeats(rows: Sequence[Answer]) -> list[bool]:
    """For each answer, whether an earlier one is the same."""
    seen: set[str] = set()
    repeats = []
    for row in rows:
        repeats.append(row.answer in seen)
        seen.add(row.answer)
    return repeats


def _length(language: str, tokens: list[int], samples: int, seed: int) -> Score:
    draws = resamples(len(tokens), samples, seed, SUITE, language)
    low, high = percentile_interval(np.median(np.array(tokens)[draws], axis=1))
    return Score(
        "chat",
        SUITE,
        "median_answer_tokens",
        language,
        float(median(tokens)),
        low,
        high,
        len(tokens),
        None,
    )
