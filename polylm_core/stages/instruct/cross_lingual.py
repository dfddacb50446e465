"""Cross-lingual tasks of BayLing 2 (arXiv 2411.16300): translation in several forms, via hubs.

Each language is linked to the hubs (English and Chinese) by translation tasks in both directions,
worded in either language, in one turn or in several about one document. Pairs with a hub that is
not English are joined through the English side that both share. Beside them stand texts of one
language to be continued.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from polylm_core.artifacts import ShardSet
from polylm_core.errors import StageError
from polylm_core.languages import get_language
from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.continuations import continuations
from polylm_core.stages.instruct.pairs import Pairs, open_pairs, place
from polylm_core.stages.instruct.selection import Harvest, draw, fits, in_drawn_order, take
from polylm_core.stages.instruct.templates import ENGLISH
from polylm_core.stages.instruct.turns import TRANSLATION, Turn, chat_of, turn_of

IN_ANOTHER_CHAT = "in-another-chat"
"""A pair that is a later turn of a chat that was made before it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The tasks of one language, to be made in one go."""

    language: str
    is_further: bool
    """Not one of the recipe's languages: fewer and shorter pairs, and nothing else."""
    shards: Path
    config: InstructConfig
    seed: int


def make_units(
    shards: ShardSet, languages: tuple[str, ...], config: InstructConfig, seed: int
) -> list[Unit]:
    """One unit for each language with pairs, and for each of the recipe."""
    with_pairs = {part.name for part in (shards.path / "pairs").iterdir()}
    further = sorted(with_pairs - {*languages, ENGLISH})
    return [
        Unit(language, language in further, shards.path, config, seed)
        for language in (*sorted(languages), *further)
    ]


def make_tasks(unit: Unit) -> Harvest:
    """All cross-lingual tasks of one language, and its texts to continue."""
    limits, config = unit.config.cross_lingual, unit.config
    harvest = Harvest()
    if not unit.is_further:
        documents = unit.shards / "documents" / unit.language
        harvest.add(continuations(documents, unit.language, config, unit.seed))
    for hub, most in limits.hubs.items():
        if hub == unit.language:
            break  # a hub is linked to the hubs before it; those after it link to it
        if unit.is_further:
            max_bytes = min(limits.max_further_chat_bytes, config.max_chat_bytes)
            harvest.add(_Chats(unit, hub, max_bytes).take(limits.pairs_per_further_language))
        else:
            harvest.add(_Chats(unit, hub, config.max_chat_bytes).take(most))
    return harvest


class _Chats:
    """The chats of one language and a hub; a pair is in one of them at most."""

    def __init__(self, unit: Unit, hub: str, max_bytes: int) -> None:
        self._unit = unit
        self._hub = hub
        self._max_bytes = max_bytes
        self._pairs = open_pairs(unit.shards, unit.language, hub)
        self._used: set[int] = set()
        self._left = 0
        self._following: dict[int, list[int]] = {}

    def take(self, most: int) -> Harvest:
        """Make chats of `most` pairs; each turn is a pair."""
        self._left = most
        if self._unit.config.cross_lingual.multi_turn_share:
            self._following = _following(self._pairs)
        return take(
            in_drawn_order(
                range(len(self._pairs.names)), self._unit.seed, self._pairs.names.__getitem__
            ),
            self._make,
            most=most,
            max_bytes=self._max_bytes,
            origin=TRANSLATION,
            language=self._unit.language,
        )

    def _make(self, index: int) -> Instruction | str | None:
        if index in self._used:
            return IN_ANOTHER_CHAT
        limits, seed = self._unit.config.cross_lingual, self._unit.seed
        name = self._pairs.names[index]
        to_hub = draw(seed, "to hub", name) < limits.to_hub_share
        first = self._turn(index, to_hub=to_hub)
        if first is None:
            return None
        chosen = {index: first}
        if draw(seed, "turns", name) < limits.multi_turn_share:
            self._add_turns(chosen, index)
        while True:
            chat = chat_of(list(chosen.values()), self._unit.config, seed)
            if len(chosen) == 1 or fits(chat, self._max_bytes):
                break
            chosen.popitem()
        if fits(chat, self._max_bytes):
            self._used |= chosen.keys()
            self._left -= len(chosen)
        return chat

    def _add_turns(self, chosen: dict[int, Turn], index: int) -> None:
        """Add pairs that follow in the document, each in the last direction or the other."""
        limits, seed = self._unit.config.cross_lingual, self._unit.seed
        for other in self._following.get(index, ()):
            if len(chosen) == min(limits.max_turns, self._left):
                break
            if other in self._used:
                continue
            is_to_hub = next(reversed(chosen.values())).target == self._hub
            turns_round = draw(seed, "other direction", self._pairs.names[other]) < 0.5
            turn = self._turn(other, to_hub=is_to_hub != turns_round)
            if turn is not None:
                chosen[other] = turn

    def _turn(self, index: int, *, to_hub: bool) -> Turn | None:
        pair = self._pairs.decode(index)
        if pair is None:
            return None
        target = self._hub if to_hub else self._unit.language
        return turn_of(pair, target, self._unit.config)


def _following(pairs: Pairs) -> dict[int, list[int]]:
    """For each pair the later ones of its document, nearest first."""
    by_document: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, name in enumerate(pairs.names):
        document, position = place(name)
        by_document[document].append((position, index))
    following: dict[int, list[int]] = {}
    for members in by_document.values():
        in_order = [index for _, index in sorted(members)]
        following |= {index: in_order[n + 1 :][:8] for n, index in enumerate(in_order)}
    return following


def held_out_tasks(
    shards: ShardSet, languages: tuple[str, ...], config: InstructConfig, seed: int
) -> list[Instruction]:
    """Make the prompts of held-out pairs: up to `held_out_per_language`, answers in the language.

    Raises StageError when a language has no suitable pair.
    """
    folder = shards.path / "held_out"
    of_language = {code: open_pairs(folder, code, ENGLISH) for code in languages if code != ENGLISH}
    tasks: list[Instruction] = []
    for language in languages:
        # English has no pairs with itself: it is the answer to every other language's.
        pairs = list(of_language.values()) if language == ENGLISH else [of_language[language]]
        tasks += _held_out_of(language, pairs, config, seed)
    return tasks


def _held_out_of(
    language: str, sets: list[Pairs], config: InstructConfig, seed: int
) -> list[Instruction]:
    candidates = [(pairs, index) for pairs in sets for index in range(len(pairs.names))]

    def make(candidate: tuple[Pairs, int]) -> Instruction | None:
        pair = candidate[0].decode(candidate[1])
        turn = None if pair is None else turn_of(pair, language, config)
        return None if turn is None else chat_of([turn], config, seed)

    found = take(
        in_drawn_order(candidates, seed, lambda candidate: candidate[0].names[candidate[1]]),
        make,
        most=config.held_out_per_language,
        max_bytes=config.max_chat_bytes,
        origin=TRANSLATION,
        language=language,
    ).instructions
    if not found:
        raise StageError(
            f"{get_language(language).english_name} ({language}) has no held-out pair of "
            f"{config.min_words} to {config.max_words} words to ask about; raise "
            "curate.held_out.share, or add pairs"
        )
    return found
