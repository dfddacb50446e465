"""The largest set that keeps its shares, its caps, and what the funnel says of the rest."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from pydantic import ValidationError

from polylm_core.errors import StageError
from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct.composition import compose, divide
from polylm_core.stages.instruct.parts_config import CompositionConfig
from polylm_core.stages.instruct.selection import KEPT, Harvest

BAYLING = {"zho_Hans": 0.432, "eng_Latn": 0.262, "cross-lingual": 0.306}


def rows(number: int, language: str, origin: str = "seed") -> list[Instruction]:
    turns = (Message("user", "?"), Message("assistant", "!"))
    return [
        Instruction(f"{origin}/{language}/{n}", language, language, origin, "CC0-1.0", turns)
        for n in range(number)
    ]


def harvest_of(*parts: list[Instruction]) -> Harvest:
    harvest = Harvest([row for part in parts for row in part])
    for row in harvest.instructions:
        harvest.funnel.count(row.origin, row.language, KEPT)
    return harvest


def test_the_set_is_the_largest_that_keeps_the_shares_of_bayling_2() -> None:
    harvest = harvest_of(
        rows(432, "zho_Hans"), rows(900, "eng_Latn"), rows(5000, "deu_Latn", "cross-lingual")
    )
    made, division = compose(harvest, CompositionConfig(shares=BAYLING), seed=1)
    assert Counter((row.origin, row.language) for row in made.instructions) == {
        ("seed", "zho_Hans"): 432,
        ("seed", "eng_Latn"): 262,
        ("cross-lingual", "deu_Latn"): 306,
    }
    assert division is not None
    assert division.limited_by == "zho_Hans"
    funnel = made.funnel.counts
    assert funnel["seed", "eng_Latn", 0, "limited-by-zho_Hans"] == 900 - 262
    assert funnel["cross-lingual", "deu_Latn", 0, "limited-by-zho_Hans"] == 5000 - 306
    assert funnel["cross-lingual", "deu_Latn", 0, KEPT] == 306
    assert "zho_Hans 432 of 432 rows (43.2%; share 43.2%)" in division.describe(BAYLING)
    assert division.describe(BAYLING).endswith("limited by zho_Hans")


def test_a_cross_lingual_answer_in_english_counts_as_cross_lingual() -> None:
    harvest = harvest_of(rows(10, "eng_Latn"), rows(10, "eng_Latn", "cross-lingual"))
    shares = {"eng_Latn": 0.5, "cross-lingual": 0.5}
    made, division = compose(harvest, CompositionConfig(shares=shares), seed=1)
    assert len(made.instructions) == 20
    assert division is not None
    assert division.limited_by is None


def test_rows_of_no_share_are_left_out_and_counted() -> None:
    harvest = harvest_of(rows(10, "eng_Latn"), rows(7, "spa_Latn"))
    made, _ = compose(harvest, CompositionConfig(shares={"eng_Latn": 1.0}), seed=1)
    assert {row.language for row in made.instructions} == {"eng_Latn"}
    assert made.funnel.counts["seed", "spa_Latn", 0, "in-no-share"] == 7
    assert made.funnel.counts["seed", "spa_Latn", 0, KEPT] == 0


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1])
def test_no_set_with_these_shares_is_larger(tolerance: float) -> None:
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    for available in ({"a": 9, "b": 20, "c": 20}, {"a": 30, "b": 4, "c": 11}):
        division = divide(available, shares, tolerance)
        total = sum(division.rows.values())
        assert all(division.rows[name] <= available[name] for name in shares)
        for name, share in shares.items():  # to the next whole number
            assert abs(division.rows[name] - share * total) <= tolerance * total + 1
        exact = [
            sum(numbers)
            for numbers in product(*(range(available[name] + 1) for name in shares))
            if sum(numbers)
            and all(
                abs(number / sum(numbers) - share) <= tolerance + 1e-9
                for number, share in zip(numbers, shares.values(), strict=True)
            )
        ]
        assert total >= max(exact)


def test_a_tolerance_gives_a_larger_set() -> None:
    available = {"zho_Hans": 432, "eng_Latn": 9000, "cross-lingual": 9000}
    strict = divide(available, BAYLING, 0.0)
    loose = divide(available, BAYLING, 0.05)
    assert sum(loose.rows.values()) > sum(strict.rows.values()) == 1000
    assert loose.rows["zho_Hans"] == 432
    assert loose.limited_by == "zho_Hans"


def test_a_language_has_no_more_rows_than_its_cap() -> None:
    harvest = harvest_of(rows(10, "eng_Latn"), rows(9, "spa_Latn"), rows(3, "deu_Latn"))
    config = CompositionConfig(max_per_language=4, max_by_language={"eng_Latn": 6})
    made, division = compose(harvest, config, seed=1)
    assert Counter(row.language for row in made.instructions) == {
        "eng_Latn": 6,
        "spa_Latn": 4,
        "deu_Latn": 3,
    }
    assert made.funnel.counts["seed", "spa_Latn", 0, "over-the-language-cap"] == 5
    assert division is None


def test_which_rows_stay_depends_on_their_ids_and_the_seed_alone() -> None:
    some = rows(40, "eng_Latn")
    config = CompositionConfig(max_per_language=10)
    kept = {row.id for row in compose(harvest_of(some), config, seed=1)[0].instructions}
    turned = {row.id for row in compose(harvest_of(some[::-1]), config, seed=1)[0].instructions}
    other = {row.id for row in compose(harvest_of(some), config, seed=2)[0].instructions}
    assert kept == turned != other


def test_without_caps_and_shares_nothing_changes() -> None:
    harvest = harvest_of(rows(5, "eng_Latn"))
    made, division = compose(harvest, CompositionConfig(), seed=1)
    assert (made.instructions, made.funnel.counts) == (harvest.instructions, harvest.funnel.counts)
    assert division is None


def test_a_share_of_nothing_is_named() -> None:
    with pytest.raises(StageError, match=r"43\.2% of zho_Hans, of which there is no instruction"):
        compose(harvest_of(rows(5, "eng_Latn")), CompositionConfig(shares=BAYLING), seed=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shares": {"eng_Latn": 0.5}}, "add to 0.5"),
        ({"shares": {"eng_Latn": 1.5, "cross-lingual": -0.5}}, "above 0 and at most 1"),
        ({"shares": {"english": 1.0}}, "unknown language"),
        ({"max_by_language": {"english": 1}}, "unknown language"),
        ({"max_per_language": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_composition_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CompositionConfig.model_validate(wrong)
