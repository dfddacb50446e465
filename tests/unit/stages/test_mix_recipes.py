"""The shipped PolyLM recipes: their mixture has the shares that the paper prints."""

from __future__ import annotations

import pytest

from polylm_core.params import load_params
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.curriculum import StagePlan, solve_curriculum
from tests.architecture.closure import ROOT

BILLION = 10**9
TABLE_2 = {  # PolyLM Table 2: billions of tokens, and the percentage printed beside them
    "eng_Latn": (424.96, 67.56),
    "zho_Hans": (139.29, 22.14),
    "rus_Cyrl": (7.61, 1.21),
    "spa_Latn": (5.62, 0.89),
    "deu_Latn": (5.56, 0.88),
    "fra_Latn": (5.10, 0.81),
    "ita_Latn": (4.31, 0.69),
    "por_Latn": (4.27, 0.68),
    "jpn_Jpan": (4.19, 0.67),
    "vie_Latn": (4.13, 0.66),
    "ind_Latn": (3.91, 0.62),
    "pol_Latn": (3.84, 0.61),
    "nld_Latn": (3.52, 0.56),
    "arb_Arab": (3.48, 0.55),
    "tur_Latn": (3.42, 0.54),
    "tha_Thai": (2.89, 0.46),
    "heb_Hebr": (2.10, 0.33),
    "kor_Hang": (0.84, 0.13),
}
LANGUAGES = {code: round(tokens * BILLION) for code, (tokens, _) in TABLE_2.items()}
OPUS = {f"eng_Latn-{code}": BILLION // 17 for code in TABLE_2 if code != "eng_Latn"}
"""Table 1 has 1.0 billion tokens of OPUS and does not say of which languages."""


@pytest.fixture(scope="module", params=["polylm-13b", "polylm-1.7b"])
def config(request: pytest.FixtureRequest) -> MixConfig:
    params = load_params(ROOT / "recipes" / f"{request.param}.yaml")
    assert set(params.languages) == set(TABLE_2)
    return params.mix


@pytest.fixture(scope="module")
def plans(config: MixConfig) -> tuple[StagePlan, StagePlan]:
    base, multilingual = solve_curriculum(config, LANGUAGES, OPUS)
    return base, multilingual


def pairs_of(plan: StagePlan) -> int:
    return sum(tokens for name, tokens in plan.tokens.items() if name in OPUS)


def test_stage_1_has_the_percentages_of_table_2(plans: tuple[StagePlan, StagePlan]) -> None:
    base, _ = plans
    assert sum(base.tokens.values()) == 638 * BILLION
    monolingual = sum(base.tokens.values()) - pairs_of(base)
    percentages = {code: 100 * base.tokens[code] / monolingual for code in TABLE_2}
    assert percentages == {
        code: pytest.approx(printed, abs=0.0051) for code, (_, printed) in TABLE_2.items()
    }
    assert 100 * pairs_of(base) / 638e9 == pytest.approx(0.16, abs=0.005)


def test_stage_1_reads_everything_about_once(plans: tuple[StagePlan, StagePlan]) -> None:
    base, _ = plans
    for name, size in {**LANGUAGES, **OPUS}.items():
        assert base.tokens[name] / size == pytest.approx(1.0, abs=0.03)


def test_stage_2_has_the_printed_shares(plans: tuple[StagePlan, StagePlan]) -> None:
    _, multilingual = plans
    assert sum(multilingual.tokens.values()) == 97 * BILLION
    assert pairs_of(multilingual) / 97e9 == pytest.approx(0.0476, abs=0.00005)
    assert pairs_of(multilingual) / sum(OPUS.values()) == pytest.approx(4.6, abs=0.05)
    monolingual = sum(multilingual.tokens.values()) - pairs_of(multilingual)
    assert 1 - multilingual.tokens["eng_Latn"] / monolingual == pytest.approx(0.6, abs=1e-6)


def test_stage_2_lifts_every_language_but_english_and_chinese(
    plans: tuple[StagePlan, StagePlan],
) -> None:
    shares = [
        {code: plan.tokens[code] / sum(plan.tokens.values()) for code in LANGUAGES}
        for plan in plans
    ]
    lifted = {code for code in LANGUAGES if shares[1][code] > shares[0][code]}
    assert lifted == set(LANGUAGES) - {"eng_Latn", "zho_Hans"}
