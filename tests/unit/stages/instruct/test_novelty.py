"""Novelty against every instruction known: the decisions of rouge-score."""

from __future__ import annotations

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from polylm_core.stages.instruct.novelty import NoveltyIndex


class _Given:
    """Word lists as they stand."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


SCORER = RougeScorer(["rougeL"], tokenizer=_Given())


def rouge_l(left: list[str], right: list[str]) -> float:
    return float(SCORER.score(" ".join(left), " ".join(right))["rougeL"].fmeasure)


def first_similar(pool: list[list[str]], words: list[str], threshold: float) -> int | None:
    found = (number for number, known in enumerate(pool) if rouge_l(known, words) >= threshold)
    return next(found, None)


def index_of(pool: list[list[str]], threshold: float) -> NoveltyIndex:
    index = NoveltyIndex(threshold)
    for words in pool:
        index.add(words)
    return index


def altered(words: list[str], share: float, draw: random.Random, vocabulary: int) -> list[str]:
    """Words replaced, left out, moved and doubled, each with some probability."""
    out: list[str] = []
    for word in words:
        if draw.random() >= share:
            out.append(word)
            continue
        choice = draw.randrange(4)
        if choice == 0:
            out.append(str(draw.randrange(vocabulary)))
        elif choice == 1:
            out.insert(draw.randrange(len(out) + 1), word)
        elif choice == 2:
            out += [word, word]
    return out


@pytest.mark.parametrize("threshold", [0.7, 0.5, 1.0, 0.0])
@pytest.mark.parametrize("longest", [6, 30, 150])
def test_the_decisions_on_random_lists_are_those_of_rouge_score(
    threshold: float, longest: int
) -> None:
    draw = random.Random(f"{threshold} {longest}")
    similar = different = 0
    for vocabulary in (4, 500):
        pool = [
            [str(draw.randrange(vocabulary)) for _ in range(draw.randrange(longest + 1))]
            for _ in range(6)
        ]
        pool += [altered(words, 0.3, draw, vocabulary) for words in pool]
        index = index_of(pool, threshold)
        for _ in range(20):
            words = altered(draw.choice(pool), draw.uniform(0, 0.6), draw, 2 * vocabulary)
            expected = first_similar(pool, words, threshold)
            assert index.nearest(words) == expected
            similar += expected is not None
            different += expected is None
    assert similar
    assert different or threshold == 0.0


def test_every_pair_of_lengths_at_exactly_the_threshold_is_decided_alike() -> None:
    near = 0
    for threshold in (0.7, 0.6, 0.3):
        for size in range(1, 50):
            words = [str(number) for number in range(size)]
            index = index_of([words], threshold)
            for common in range(size + 1):
                copy = words[:common] + ["other"] * (size % 7)
                value = rouge_l(words, copy)
                assert (index.nearest(copy) is not None) == (value >= threshold)
                near += abs(value - threshold) < 1e-12
    assert near > 10


def test_a_near_copy_at_071_is_known_and_one_at_069_is_new() -> None:
    words = [f"w{number}" for number in range(100)]
    index = index_of([words], 0.7)
    for common, is_known in ((71, True), (70, True), (69, False)):
        copy = words[:common] + [f"x{number}" for number in range(100 - common)]
        assert rouge_l(words, copy) == pytest.approx(common / 100)
        assert (index.nearest(copy) is not None) == is_known


def test_the_first_similar_of_several_is_named() -> None:
    index = index_of([["a", "b"], ["c", "d", "e"], ["c", "d", "e"]], 0.7)
    assert index.nearest(["c", "d", "e"]) == 1


def test_an_instruction_is_known_once_it_has_joined() -> None:
    index = NoveltyIndex(0.7)
    assert index.nearest(["a", "b", "c"]) is None
    index.add(["a", "b", "c"])
    assert index.nearest(["a", "b", "c"]) == 0
    assert len(index) == 1


def test_an_index_grows_beyond_its_first_size() -> None:
    draw = random.Random(3)
    pool = [[str(draw.randrange(5000)) for _ in range(9)] for _ in range(3000)]
    index = index_of(pool, 0.7)
    assert [index.nearest(pool[number]) for number in (0, 1500, 2999)] == [0, 1500, 2999]
    assert index.nearest(["unheard-of"] * 9) is None


def test_texts_without_words_are_similar_to_nothing() -> None:
    index = index_of([[], ["a"]], 0.7)
    assert index.nearest([]) is None
    assert index.nearest(["a"]) == 1
