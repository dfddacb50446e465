"""Exact Jaccard similarity of all pairs, and the score of a method against it."""

from __future__ import annotations

import itertools
import random

from benchmarks.engine.near import (
    PLANTED,
    NearScore,
    exact_pairs,
    jaccard,
    plant,
    score,
    shingles,
    simplified,
)
from polylm_core.records import Document


def document(key: str, text: str) -> Document:
    return Document(id=key, text=text, language="eng_Latn", source="test", license="CC0-1.0")


def words(draw: random.Random, number: int) -> str:
    return " ".join("".join(draw.choices("abcdefgh", k=4)) for _ in range(number))


def test_the_index_finds_the_pairs_that_comparing_all_with_all_finds() -> None:
    draw = random.Random(3)
    universe = [str(number) for number in range(60)]
    sets = {
        f"doc-{number}": frozenset(draw.sample(universe, draw.randint(1, 12)))
        for number in range(300)
    }
    for threshold in (0.5, 0.8, 1.0):
        slow = {
            (one, other)
            for one, other in itertools.combinations(sorted(sets), 2)
            if jaccard(sets[one], sets[other]) >= threshold
        }
        assert exact_pairs(sets, threshold) == slow
        assert slow or threshold > 0.5


def test_documents_without_shingles_are_near_nothing() -> None:
    assert exact_pairs({"a": frozenset(), "b": frozenset()}) == set()


def test_shingles_are_five_words_or_ten_characters() -> None:
    assert shingles("a b c d e f", has_spaces=True) == {"a b c d e", "b c d e f"}
    assert shingles("กขคงจฉช ซฌญฎ", has_spaces=False) == {"กขคงจฉชซฌญ", "ขคงจฉชซฌญฎ"}
    assert shingles("a b c d", has_spaces=True) == frozenset()


def test_simplifying_twice_changes_nothing() -> None:
    text = "L’été, 1984: «Ça va ?»\n\n© ２０２０ Straße — ไม่มี 中文。"
    once = simplified(text)
    assert once == "l ete ca va\nstraße ไมม 中文"
    assert simplified(once) == once


def test_a_planted_copy_with_its_lines_in_new_order_is_found() -> None:
    draw = random.Random(5)
    rows = [
        document(f"d{number}", "\n".join(words(draw, 40) for _ in range(5))) for number in range(50)
    ]
    planted = plant([*rows, document("short", "Too short.")], has_spaces=True)
    assert "short" not in {row.id for row in planted}
    copies = [row for row in planted if row.id.endswith(PLANTED)]
    assert len(copies) == 5
    sets = {row.id: shingles(row.text, has_spaces=True) for row in planted}
    reordered = copies[0].id
    assert (reordered.removesuffix(PLANTED), reordered) in exact_pairs(sets)


def test_a_pair_is_found_when_one_of_it_is_dropped() -> None:
    pairs = {("a", "b"), ("c", "d"), ("e", "f")}
    found = score(pairs, ["b", "c", "x"])
    assert (found.pairs_found, found.dropped_rightly) == (2, 2)
    assert found.recall == 2 / 3
    assert found.precision == 2 / 3


def test_scores_of_two_languages_add_up() -> None:
    both = NearScore(2, 1, 3, 2) + NearScore(8, 8, 1, 1)
    assert both == NearScore(10, 9, 4, 3)
    assert both.recall == 0.9
