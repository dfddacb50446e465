"""The curriculum solver: shares in tokens, none past its epoch cap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.errors import StageError
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.solve import share
from polylm_core.stages.mix.stage import mix
from polylm_core.token_files import TokenFileWriter
from tests.support import make_run

STAGES = [
    {"name": "base", "share_of_tokens": 0.5, "non_english_share": 0.3, "bilingual_share": 0.02},
    {"name": "multi", "share_of_tokens": 0.5, "non_english_share": 0.6, "bilingual_share": 0.1},
]


def make_tokens(folder: Path, sizes: dict[str, int]) -> TokenSet:
    partial = partial_folder(folder / "04_tokens")
    for stream, size in sizes.items():
        with TokenFileWriter(partial / "train" / stream, vocab_size=8000) as writer:
            writer.add([5] * size)
    return publish(TokenSet, partial, folder / "04_tokens", inputs={}, params={}, counts={})


def make_config(**changes: object) -> MixConfig:
    values = {"tokens": 20_000, "sampling_exponent": 0.3, "max_epochs": 4, "stages": STAGES}
    return MixConfig.model_validate(values | changes)


def test_shares_follow_the_power_of_the_sizes() -> None:
    drawn = share(3_000, {"a": 8_000, "b": 1_000}, exponent=1 / 3, max_epochs=4, what="x")
    assert drawn["a"].tokens == 2_000
    assert drawn["b"].tokens == 1_000
    assert drawn["b"].epochs == 1.0


def test_a_capped_stream_hands_its_rest_to_the_others() -> None:
    sizes = {"big": 10_000, "tiny": 100}
    drawn = share(4_000, sizes, exponent=0.0, max_epochs=2, what="x")
    assert drawn["tiny"].tokens == 200
    assert drawn["big"].tokens == 3_800


def test_too_little_text_names_the_numbers_and_what_to_change() -> None:
    with pytest.raises(StageError, match=r"5,000 tokens.*1,000.*mix\.max_epochs"):
        share(5_000, {"a": 1_000}, exponent=0.3, max_epochs=2, what="x")


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
    assert second["deu_Latn"]["tokens"] == 5_400  # 60 % of 9,000
    assert second["deu_Latn"]["epochs"] == pytest.approx(5_400 / 5_000)


def test_stage_shares_that_do_not_add_to_one_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add to 0\.5"):
        make_config(stages=STAGES[:1])
