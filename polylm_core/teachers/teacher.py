"""What every teacher has in common: prompts in, answers out in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from polylm_core.teachers.config import Prices


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn."""

    max_new_tokens: int
    temperature: float
    top_k: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the teacher wrote, or why it did not."""

    text: str
    is_complete: bool
    """It ended by itself, before the length limit."""
    prompt_tokens: int
    answer_tokens: int
    failure: str = ""
    """A reason for the funnel, where there is no answer; empty where there is one."""
    request: str = ""
    """Under which key an endpoint's answer is stored; empty for one that was computed here."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers took; integers, so that their order does not matter."""

    answers: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.answers + other.answers,
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers."""
        return self.prompt_tokens + self.answer_tokens

    def cost(self, prices: Prices | None) -> float:
        """Money, in the currency of the prices; 0 without any."""
        if prices is None:
            return 0.0
        prompts = self.prompt_tokens * prices.per_million_prompt_tokens
        return (prompts + self.answer_tokens * prices.per_million_answer_tokens) / 1e6

    def describe(self, prices: Prices | None = None) -> str:
        """Tokens and, with prices, money: the short status of a progress bar."""
        tokens = f"{self.tokens:,} tokens"
        return tokens if prices is None else f"{tokens}, {self.cost(prices):,.4f} spent"


def usage_of(answers: Sequence[Answer]) -> Usage:
    """Sum what answers took; a prompt without an answer is counted as one that took nothing."""
    total = Usage()
    for answer in answers:
        total += Usage(1, answer.prompt_tokens, answer.answer_tokens)
    return total


class Teacher(Protocol):
    """Whoever answers prompts."""

    @property
    def is_remote(self) -> bool:
        """Whether it is asked over the network: by one process, and it keeps the answers itself.

        Any other is computed where it is asked, in as many processes as there are, and can be
        pickled.
        """

    def ask(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> list[Answer]:
        """Answer all prompts; the same prompts, sampling and seed get the same answers.

        Raises TeacherError when the teacher cannot go on.
        """
