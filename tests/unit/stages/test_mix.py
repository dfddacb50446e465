"""The curriculum solver: shares in tokens by each policy, none past a bound, all lacks named."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.errors import StageError
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.curriculum import solve_curriculum
from polylm_core.stages.mix.solve import fill
from polylm_core.stages.mix.stage import mix
from polylm_core.token_files import TokenFileWriter
from tests.support import make_run

STAGES = [
    {"name": "base", "share_of_tokens": 0.5, "non_english_share": 0.3, "bilingual_share": 0.02},
    {"name": "multi", "share_of_tokens": 0.5, "non_english_share": 0.6, "bilingual_share": 0.1},
]
BYTES_PER_TOKEN = 3


def make_tokens(folder: Path, sizes: dict[str, int]) -> TokenSet:
    partial = partial_folder(folder / "04_tokens")
    for stream, size in sizes.items():
        with TokenFileWriter(partial / "train" / stream, vocab_size=8000) as writer:
            writer.add([5] * size)
    counts = {
        name: {"tokens": size, "bytes": size * BYTES_PER_TOKEN, "truncated_tokens": 0}
        for name, size in sizes.items()
    }
    out = folder / "04_tokens"
    return publish(TokenSet, partial, out, inputs={}, params={}, counts={"train": counts})


def make_config(**changes: object) -> MixConfig:
    values = {"tokens": 20_000, "sampling_exponent": 0.3, "max_epochs": 4, "stages": STAGES}
    return MixConfig.model_validate(values | changes)


def solve_one(
    stage: dict[str, Any],
    languages: dict[str, int],
    pairs: dict[str, int] | None = None,
    **changes: Any,
) -> dict[str, int]:
    """Draws of a curriculum of one stage of 3,000 tokens."""
    whole = {"name": "only", "share_of_tokens": 1, "bilingual_share": 0, **stage}
    config = make_config(**{"tokens": 3000, "stages": [whole], **changes})
    return solve_curriculum(config, languages, pairs or {})[0].tokens


def unimax_as_printed(budget: float, sizes: dict[str, int], epochs: float) -> dict[str, float]:
    """Algorithm 1 of Chung et al. 2023: the smallest first, each an equal part of what is left."""
    drawn = {}
    for number, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        drawn[name] = min(budget / (len(sizes) - number), sizes[name] * epochs)
        budget -= drawn[name]
    return drawn


def test_shares_follow_the_power_of_the_sizes() -> None:
    drawn = solve_one({"sampling_exponent": 1 / 3}, {"a": 8_000, "b": 1_000})
    assert drawn == {"a": 2_000, "b": 1_000}


def test_a_capped_stream_hands_its_rest_to_the_others() -> None:
    drawn = solve_one({}, {"big": 10_000, "tiny": 100}, sampling_exponent=0, max_epochs=2)
    assert drawn == {"tiny": 200, "big": 2_800}


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_unimax_is_the_algorithm_of_its_paper(epochs: int) -> None:
    sizes = {"en": 90_000, "ru": 700, "sw": 40, "th": 310, "yo": 3}
    drawn = solve_one({"policy": "unimax"}, sizes, max_epochs=epochs)
    expected = unimax_as_printed(3000, sizes, epochs)
    assert sum(drawn.values()) == 3000
    assert drawn == {name: pytest.approx(tokens, abs=1) for name, tokens in expected.items()}


def test_manual_weights_are_parts_of_their_sum() -> None:
    drawn = solve_one(
        {"policy": "manual", "weights": {"eng_Latn": 20, "zho_Hans": 8, "kor_Hang": 2, "x": 0}},
        {"eng_Latn": 9_000, "zho_Hans": 900, "kor_Hang": 90, "x": 5},
    )
    assert drawn == {"eng_Latn": 2_000, "zho_Hans": 800, "kor_Hang": 200}


def test_nobody_takes_what_a_manual_language_lacks() -> None:
    stage = {"policy": "manual", "weights": {"eng_Latn": 1, "zho_Hans": 1, "kor_Hang": 1}}
    sizes = {"eng_Latn": 9_000, "zho_Hans": 90, "kor_Hang": 200}
    with pytest.raises(StageError) as failure:
        solve_one(stage, sizes)
    assert "kor_Hang lacks 200 of 1,000 tokens" in str(failure.value)
    assert "zho_Hans lacks 640 of 1,000 tokens" in str(failure.value)
    assert "eng_Latn lacks" not in str(failure.value)


def test_a_manual_stage_names_languages_without_a_weight() -> None:
    stage = {"policy": "manual", "weights": {"eng_Latn": 1, "deu_Latn": 1}}
    with pytest.raises(StageError, match=r"no weight for kor_Hang(.|\n)*no tokens of deu_Latn"):
        solve_one(stage, {"eng_Latn": 9_000, "kor_Hang": 90})


def test_without_a_share_english_is_a_language_like_any_other() -> None:
    sizes = {"eng_Latn": 9_000, "deu_Latn": 4_000}
    assert solve_one({"policy": "unimax"}, sizes) == {"eng_Latn": 1_500, "deu_Latn": 1_500}
    drawn = solve_one({"policy": "unimax", "non_english_share": 0.2}, sizes)
    assert drawn == {"eng_Latn": 2_400, "deu_Latn": 600}


def test_a_floor_lifts_a_language_and_the_others_share_the_rest() -> None:
    sizes = {"a": 8_000, "b": 8_000, "c": 8_000}
    assert solve_one({"min_tokens": {"c": 2_000}}, sizes) == {"a": 500, "b": 500, "c": 2_000}
    assert solve_one({"min_share": {"c": 0.5}}, sizes) == {"a": 750, "b": 750, "c": 1_500}
    assert solve_one({"min_tokens": {"c": 10}}, sizes) == {"a": 1_000, "b": 1_000, "c": 1_000}


def test_floors_and_caps_hold_together() -> None:
    weights = {"a": 5.0, "b": 3.0, "c": 1.0, "d": 1.0, "e": 0.0}
    capacity = {"a": 300, "b": 9_000, "c": 9_000, "d": 50, "e": 100}
    drawn = fill(2_000, weights, capacity=capacity, floors={"c": 700, "e": 20})
    assert drawn == {"a": 300, "b": 930, "c": 700, "d": 50, "e": 20}
    full = {"a": 300, "b": 9_000, "c": 9_000, "d": 50}
    assert fill(18_350, {name: weights[name] for name in full}, capacity=full, floors={}) == full


def test_any_budget_is_met_within_floors_and_caps() -> None:
    for seed in range(2_000):
        draw = random.Random(seed)
        capacity = {f"{i:02}": draw.randint(1, 10 ** draw.randint(1, 9)) for i in range(2, 20)}
        exponent = draw.choice([0, 0.3, 0.5, 0.7, 1])
        weights = {name: size**exponent for name, size in capacity.items()}
        floors = {n: draw.randint(0, most) for n, most in capacity.items() if draw.random() < 0.3}
        budget = draw.randint(sum(floors.values()), sum(capacity.values()))
        drawn = fill(budget, weights, capacity=capacity, floors=floors)
        assert sum(drawn.values()) == budget, seed
        assert all(floors.get(n, 0) <= drawn[n] <= capacity[n] for n in drawn), seed


def test_floors_that_cannot_be_met_are_named() -> None:
    with pytest.raises(StageError, match=r"c lacks 1,000 of its floor of 2,000 tokens"):
        solve_one({"min_tokens": {"c": 2_000}}, {"a": 8_000, "c": 250})
    with pytest.raises(StageError, match=r"floors add to 4,000 tokens, the budget is 3,000"):
        solve_one({"min_tokens": {"a": 2_000, "c": 2_000}}, {"a": 8_000, "c": 8_000})
    with pytest.raises(StageError, match=r"min_tokens: no tokens of d"):
        solve_one({"min_tokens": {"d": 2_000}}, {"a": 8_000})


def test_every_lack_of_every_stage_is_named_at_once() -> None:
    languages = {"eng_Latn": 1_000, "deu_Latn": 500, "zho_Hans": 100}
    with pytest.raises(StageError) as failure:
        solve_curriculum(make_config(), languages, {"eng_Latn-deu_Latn": 100})
    said = str(failure.value)
    assert "stage base, English: eng_Latn lacks 2,860 of 6,860 tokens" in said
    assert "stage base, languages other than English: deu_Latn lacks" not in said
    assert "zho_Hans lacks 722 of 1,122" in said
    assert "540 tokens are lacking in all" in said
    assert "stage multi, aligned pairs: eng_Latn-deu_Latn lacks 600 of 1,000 tokens" in said
    assert "mix.max_epochs_by_stream" in said


def test_a_bilingual_share_without_pairs_is_not_dropped_silently() -> None:
    with pytest.raises(StageError, match=r"aligned pairs: 300 tokens .* no such text"):
        solve_one({"bilingual_share": 0.1}, {"eng_Latn": 9_000})


def test_a_bound_of_one_stream_stands_for_the_bound_of_all() -> None:
    sizes = {"a": 10_000, "tiny": 100}
    drawn = solve_one({}, sizes, sampling_exponent=0, max_epochs_by_stream={"tiny": 8})
    assert drawn == {"tiny": 800, "a": 2_200}


def test_epochs_are_counted_over_the_stages_where_a_bound_says_so() -> None:
    languages = {"eng_Latn": 90_000, "deu_Latn": 9_000, "kor_Hang": 500}
    stages = [{**stage, "bilingual_share": 0} for stage in STAGES]
    bounds = {"sampling_exponent": 0, "max_epochs": 2, "stages": stages}

    def korean(**changes: float) -> list[int]:
        plans = solve_curriculum(make_config(**bounds, **changes), languages, {})
        return [plan.tokens.get("kor_Hang", 0) for plan in plans]

    assert korean() == [1_000, 1_000]
    assert korean(max_epochs_in_all=3) == [1_000, 500]
    assert korean(max_epochs_in_all=2) == [1_000, 0]


def test_the_two_stages_have_the_declared_shares(tmp_path: Path) -> None:
    tokens = make_tokens(
        tmp_path, {"eng_Latn": 9_000, "deu_Latn": 5_000, "eng_Latn-deu_Latn": 3_000}
    )
    artifact = mix(make_config(), tokens, make_run(tmp_path, name="05_mixture"))
    solved = json.loads((artifact.path / "mixture.json").read_text())
    first, second = (stage["streams"] for stage in solved["stages"])
    assert first["eng_Latn-deu_Latn"]["tokens"] == 200
    assert first["deu_Latn"]["tokens"] == 2_940  # 30 % of the 9,800 monolingual tokens
    assert second["eng_Latn-deu_Latn"]["tokens"] == 1_000
    assert second["deu_Latn"] == {
        "tokens": 5_400,  # 60 % of 9,000
        "bytes": 16_200,
        "epochs": pytest.approx(5_400 / 5_000),
        "share": 0.54,
    }
    assert solved["streams"]["deu_Latn"] == {
        "available_tokens": 5_000,
        "tokens": 8_340,
        "bytes": 25_020,
        "epochs": pytest.approx(8_340 / 5_000),
    }


def test_a_language_without_tokens_is_named(tmp_path: Path) -> None:
    tokens = make_tokens(tmp_path, {"eng_Latn": 9_000})
    with pytest.raises(StageError, match="deu_Latn: no tokens"):
        mix(make_config(), tokens, make_run(tmp_path, name="05_mixture"))


def test_stages_may_state_their_tokens_instead_of_shares() -> None:
    stages = [{"name": "a", "tokens": 700, "bilingual_share": 0, "policy": "unimax"}]
    config = make_config(tokens=None, stages=stages)
    assert solve_curriculum(config, {"x": 900, "y": 900}, {})[0].tokens == {"x": 350, "y": 350}


STAGE = {"name": "a", "share_of_tokens": 1, "bilingual_share": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": STAGES[:1]}, r"add to 0\.5"),
        ({"tokens": None}, "without mix.tokens every stage states tokens"),
        ({"stages": [{**STAGE, "tokens": 5}]}, "with mix.tokens every stage states share"),
        ({"stages": [{**STAGE, "policy": "manual"}]}, "needs weights"),
        ({"stages": [{**STAGE, "weights": {"x": 1}}]}, "weights are for policy manual"),
        (
            {"stages": [{**STAGE, "policy": "manual", "weights": {"x": 1}, "min_share": {"x": 1}}]},
            "remove min_share",
        ),
        ({"stages": [{**STAGE, "policy": "proportional"}]}, "'temperature', 'unimax' or 'manual'"),
    ],
)
def test_contradictory_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_config(**changes)
