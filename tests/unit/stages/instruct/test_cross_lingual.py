"""Cross-lingual chats of several turns: of one document, each pair once, within their limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from polylm_core.artifacts import ShardSet
from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.cross_lingual import (
    IN_ANOTHER_CHAT,
    make_tasks,
    make_units,
)
from polylm_core.stages.instruct.pairs import place
from polylm_core.stages.instruct.selection import KEPT, Harvest, fits
from polylm_core.stages.instruct.turns import TRANSLATION
from tests.unit.stages.instruct_inputs import LANGUAGES, make_shards, sentences

MAX_BYTES = 640


def make_config(max_chat_bytes: int = MAX_BYTES, **changes: Any) -> InstructConfig:
    cross_lingual = {
        "hubs": {"eng_Latn": 30, "zho_Hans": 30},
        "to_hub_share": 0.5,
        "native_share": 0.5,
        "multi_turn_share": 0.6,
        "max_turns": 3,
        "pairs_per_further_language": 4,
        "max_further_chat_bytes": 300,
        "continuations_per_language": 0,
    }
    return InstructConfig.model_validate(
        {
            "revision": 1,
            "min_words": 4,
            "max_words": 22,
            "max_chat_bytes": max_chat_bytes,
            "held_out_per_language": 5,
            "cross_lingual": cross_lingual | changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("data") / "02_shards")


def make_chats(shards: ShardSet, config: InstructConfig, language: str = "deu_Latn") -> Harvest:
    units = make_units(shards, LANGUAGES, config, seed=7)
    return make_tasks(next(unit for unit in units if unit.language == language))


def num_turns(chat: Instruction) -> int:
    return len(chat.messages) // 2


def unit_numbers(chat: Instruction) -> list[int]:
    """The positions of the pairs in the made text, by its answers."""
    numbers = {text: n for code in LANGUAGES for n, text in enumerate(sentences(code))}
    return [numbers[message.content] for message in chat.messages[1::2]]


def test_some_chats_have_several_turns_of_one_document_in_its_order(shards: ShardSet) -> None:
    chats = make_chats(shards, make_config()).instructions
    assert {num_turns(chat) for chat in chats} == {1, 2, 3}
    for chat in chats:
        numbers = unit_numbers(chat)
        assert numbers == sorted(numbers)
        assert len({number // 4 for number in numbers}) == 1, "a page of the made text has four"


def test_the_id_names_every_pair_and_the_side_asked_for(shards: ShardSet) -> None:
    for chat in make_chats(shards, make_config()).instructions:
        turns = chat.id.split("#")[1].split("+")
        assert [int(turn.split(">")[0]) for turn in turns] == unit_numbers(chat)
        for turn, answer in zip(turns, chat.messages[1::2], strict=True):
            assert answer.content in sentences(turn.split(">")[1])
        assert chat.language == turns[-1].split(">")[1]


def test_a_pair_is_in_one_chat_of_a_hub_and_the_number_asked_for_is_of_pairs(
    shards: ShardSet,
) -> None:
    harvest = make_chats(shards, make_config())
    for hub in ("eng_Latn", "zho_Hans"):
        of_hub = [chat for chat in harvest.instructions if f"/{hub}-deu_Latn/" in chat.id]
        numbers = [number for chat in of_hub for number in unit_numbers(chat)]
        assert len(numbers) == len(set(numbers)) == 30


def test_later_turns_go_in_both_directions_in_the_language_of_the_first(shards: ShardSet) -> None:
    chats = make_chats(shards, make_config()).instructions
    changes = set()
    for chat in chats:
        targets = [turn.split(">")[1] for turn in chat.id.split("#")[1].split("+")]
        changes |= {a == b for a, b in pairwise(targets)}
        if chat.prompt_language == "zho_Hans" and num_turns(chat) > 1:
            later = chat.messages[2].content
            assert later.startswith(("那这句呢", "再译一句", "下一句", "现在反过来", "再把这句"))
    assert changes == {True, False}


def test_every_pair_looked_at_is_in_the_funnel(shards: ShardSet) -> None:
    harvest = make_chats(shards, make_config())
    reasons: dict[str, int] = {}
    for (origin, _, _, reason), count in harvest.funnel.counts.items():
        if origin != TRANSLATION:
            continue
        reasons[reason] = reasons.get(reason, 0) + count
    assert sum(reasons.values()) == 2 * 40, "forty pairs with each hub"
    assert reasons[KEPT] == len(harvest.instructions)
    assert reasons[IN_ANOTHER_CHAT] > 0


@pytest.mark.parametrize("max_bytes", [140, 200, 260])
def test_a_chat_too_long_for_its_turns_has_fewer(shards: ShardSet, max_bytes: int) -> None:
    chats = make_chats(shards, make_config(max_chat_bytes=max_bytes)).instructions
    assert chats
    assert all(fits(chat, max_bytes) for chat in chats)
    whole = make_chats(shards, make_config()).instructions
    assert max(map(num_turns, chats)) <= max(map(num_turns, whole))


def test_without_a_share_every_chat_has_one_turn(shards: ShardSet) -> None:
    chats = make_chats(shards, make_config(multi_turn_share=0.0)).instructions
    assert {num_turns(chat) for chat in chats} == {1}


def test_a_further_language_is_linked_to_both_hubs_in_shorter_chats(shards: ShardSet) -> None:
    chats = make_chats(shards, make_config(), "swh_Latn").instructions
    for hub in ("eng_Latn", "zho_Hans"):
        assert sum(num_turns(chat) for chat in chats if f"/{hub}-swh_Latn/" in chat.id) == 4
    assert all(fits(chat, 300) for chat in chats)


def test_the_place_of_a_pair_is_its_document_and_its_number_there() -> None:
    assert place("help/eng_Latn-deu_Latn/a/b#12") == ("help/eng_Latn-deu_Latn/a/b", 12)
    assert place("help/eng_Latn-deu_Latn/a#par_1")[1] == -1
