"""Which texts become tasks: of moderate length, mostly letters, in an order that a seed decides.

An order or a draw is a sha256 of the seed and a name, so it is the same whatever the number of
workers, and one item more or less leaves the choice among the others as it was.
"""

from __future__ import annotations

import hashlib
import heapq
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from polylm_core.chat import render
from polylm_core.languages import get_language
from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import InstructConfig

T = TypeVar("T")

MIN_LETTER_SHARE = 0.7
"""Of the characters that are no spaces; keeps out formulae, paths and code."""
KEPT = "kept"
UNSUITABLE = "unsuitable"


@dataclass
class Funnel:
    """How many items met each end, and what was measured of them on the way."""

    counts: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    """By origin, language, round (0 outside of rounds) and reason, `kept` among them."""
    measures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By origin, language and what is counted: lines that were identified, data masked."""

    def count(
        self, origin: str, language: str, reason: str, amount: int = 1, *, round: int = 0
    ) -> None:
        """Count items that ended for a reason."""
        self.counts[origin, language, round, reason] += amount

    def measure(self, origin: str, language: str, found: Mapping[str, int]) -> None:
        """Add what was counted of items that have not ended."""
        for measure, amount in found.items():
            self.measures[origin, language, measure] += amount

    def add(self, other: Funnel) -> None:
        """Add the counts of another funnel."""
        self.counts.update(other.counts)
        self.measures.update(other.measures)


@dataclass
class Harvest:
    """Instructions made, and what became of everything that was looked at."""

    instructions: list[Instruction] = field(default_factory=list)
    funnel: Funnel = field(default_factory=Funnel)
    rounds: dict[str, int] = field(default_factory=dict)
    """The round of each instruction that was made in one, by its id."""

    def add(self, other: Harvest) -> None:
        """Append another harvest."""
        self.instructions += other.instructions
        self.funnel.add(other.funnel)
        self.rounds |= other.rounds

    def drop(self, rows: Mapping[int, str]) -> None:
        """Take back what was kept: the numbers of instructions, and why."""
        for number, reason in rows.items():
            row = self.instructions[number]
            at = self.rounds.get(row.id, 0)
            self.funnel.count(row.origin, row.language, KEPT, -1, round=at)
            self.funnel.count(row.origin, row.language, reason, round=at)
        self.instructions = [
            row for number, row in enumerate(self.instructions) if number not in rows
        ]


def draw(seed: int, *names: object) -> float:
    """A number in [0, 1) that depends on the seed and the names only."""
    digest = hashlib.sha256("\x1f".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def in_drawn_order(items: Iterable[T], seed: int, name: Callable[[T], str]) -> list[T]:
    """Items in an order that depends on the seed and their names only."""
    return sorted(items, key=_order(seed, name))


def first_drawn(
    items: Iterable[T], seed: int, name: Callable[[T], str], count: int
) -> tuple[list[T], int]:
    """The first `count` items of `in_drawn_order`, and how many items there are.

    No more than `count` are in memory.
    """
    seen = 0

    def counted() -> Iterator[T]:
        nonlocal seen
        for item in items:
            seen += 1
            yield item

    return heapq.nsmallest(count, counted(), key=_order(seed, name)), seen


def _order(seed: int, name: Callable[[T], str]) -> Callable[[T], bytes]:
    prefix = hashlib.sha256(f"{seed}\x1forder\x1f".encode())

    def key(item: T) -> bytes:
        digest = prefix.copy()
        digest.update(name(item).encode())
        return digest.digest()

    return key


def is_suitable(text: str, language: str, config: InstructConfig) -> bool:
    """Whether a text has a moderate length and consists of words."""
    return (
        config.min_words <= count_words(text, language) <= config.max_words
        and letter_share(text) >= MIN_LETTER_SHARE
    )


def count_words(text: str, language: str) -> int:
    """Words, or half the characters where no spaces stand between words."""
    if get_language(language).words == "spaces":
        return len(text.split())
    return len(text) // 2


def letter_share(text: str) -> float:
    """Share of letters and their marks among the characters that are no spaces."""
    characters = "".join(text.split())
    letters = sum(unicodedata.category(character)[0] in "LM" for character in characters)
    return letters / max(1, len(characters))


def fits(instruction: Instruction, max_bytes: int) -> bool:
    """Whether the whole chat is short enough."""
    return len(render(instruction.messages, add_generation_prompt=False).encode()) <= max_bytes


def take(
    candidates: Sequence[T],
    make: Callable[[T], Instruction | str | None],
    *,
    most: int,
    max_bytes: int,
    origin: str,
    language: str,
    num_candidates: int | None = None,
) -> Harvest:
    """Make instructions of candidates, in order, until they have `most` answers.

    `make` returns none for an unsuitable candidate, or a word for what else became of it: both are
    counted, what is kept by the language of its answer. Candidates beyond the cap are counted too:
    `num_candidates` says how many there are where only the first ones are given.
    """
    harvest = Harvest()
    num_seen = num_answers = 0
    for candidate in candidates:
        if num_answers >= most:
            break
        num_seen += 1
        instruction = make(candidate)
        if instruction is None or isinstance(instruction, str):
            harvest.funnel.count(origin, language, instruction or UNSUITABLE)
        elif not fits(instruction, max_bytes):
            harvest.funnel.count(origin, language, "too-long")
        else:
            harvest.instructions.append(instruction)
            num_answers += sum(each.role == "assistant" for each in instruction.messages)
            harvest.funnel.count(origin, instruction.language, KEPT)
    in_all = len(candidates) if num_candidates is None else num_candidates
    harvest.funnel.count(origin, language, "over-the-cap", in_all - num_seen)
    return harvest


def count_kept(instructions: Sequence[Instruction]) -> dict[str, dict[str, int]]:
    """Instructions by origin and answer language, both sorted."""
    counts = Counter((row.origin, row.language) for row in instructions)
    table: dict[str, dict[str, int]] = {}
    for (origin, language), number in sorted(counts.items()):
        table.setdefault(origin, {})[language] = number
    return table
