"""`recipes/polylm-100m.yaml`, dry: small files as its corpora have them are read and curated.

And its budgets: steps, parameters, operations and mixture, which the howto prints.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.languages import ENGLISH, POLYLM_LANGUAGES
from polylm_core.params import Params, load_params
from polylm_core.pipeline import check_sources
from polylm_core.settings import load_profile
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.stage import curate
from polylm_core.stages.ingest.config import HuggingFaceSource, MosesSource
from polylm_core.stages.ingest.stage import ingest
from polylm_core.stages.instruct.stage import instruct
from polylm_core.training.job import ModelShape
from polylm_core.training.model import build_model
from tests.architecture.closure import ROOT
from tests.support import make_run
from tests.unit.recipes import plan
from tests.unit.recipes.corpora import FILES, LAYOUTS, write_snapshot, write_zip
from tests.unit.stages.curate_real import SOURCES, rows_of

HOWTO = (ROOT / "docs/howto/train-100m.md").read_text(encoding="utf-8")
ROWS = 60
"""Of each small file; a share of them becomes documents."""
PAIRS = 30
SMALLER = {"held_out": {"share": 0.15, "min_bytes": 500, "min_pairs": 1}}
"""What of `curate` asks for more text than the small files have."""
OTHERS = {code for code in POLYLM_LANGUAGES if code != ENGLISH}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "recipes/polylm-100m.yaml")


@pytest.fixture(scope="module")
def documents(params: Params, tmp_path_factory: pytest.TempPathFactory) -> DocumentSet:
    """What `ingest` makes of the small files, by the recipe as it is."""
    corpora = tmp_path_factory.mktemp("corpora")
    locations = {}
    for name, source in params.ingest.sources.items():
        if isinstance(source, HuggingFaceSource):
            locations[name] = str(write_snapshot(corpora / name, source, ROWS))
        else:
            assert isinstance(source, MosesSource)
            write_zip(corpora / name, name, source, PAIRS)
            locations[name] = str(corpora / name)
    run = make_run(tmp_path_factory.mktemp("ingest"), languages=params.languages)
    return ingest(params.ingest, Path("nowhere"), replace(run, source_locations=locations))


@pytest.fixture(scope="module")
def shards(
    params: Params, documents: DocumentSet, tmp_path_factory: pytest.TempPathFactory
) -> ShardSet:
    config = CurateConfig.model_validate({**params.curate.model_dump(), **SMALLER})
    run = make_run(tmp_path_factory.mktemp("curate"), languages=params.languages)
    return curate(config, documents, run)


def test_the_profile_says_where_everything_lies(params: Params) -> None:
    profile = load_profile(ROOT / "infra/profiles", "1x1-h200")
    sources = params.ingest.sources
    elsewhere = {name for name, source in sources.items() if isinstance(source, MosesSource)}
    assert set(profile.source_locations) == elsewhere
    assert set(sources) - elsewhere == {"fineweb-edu", "fineweb-2", "wikipedia"}
    check_sources(SOURCES, params, profile.source_locations)


def test_every_row_of_the_corpora_becomes_a_document_or_is_left_by_its_share(
    params: Params, documents: DocumentSet
) -> None:
    made, skipped = documents.counts["documents"], documents.counts["skipped"]
    for name, source in params.ingest.sources.items():
        if isinstance(source, HuggingFaceSource):
            files = (source.first or FILES) * len(source.configs)
            assert set(made[name]) == set(source.configs.values())
            assert set(skipped[name]) == {"not-drawn"}
            rows = sum(made[name].values())
            assert rows + skipped[name]["not-drawn"] == files * ROWS
            assert rows / (files * ROWS) == pytest.approx(source.share, rel=0.25)


def test_documents_keep_the_address_and_the_id_of_their_row(
    params: Params, documents: DocumentSet
) -> None:
    for name, source in params.ingest.sources.items():
        if isinstance(source, HuggingFaceSource):
            row = rows_of(documents.path / "documents" / name)[0]
            number = int("".join(filter(str.isdigit, row["id"].rpartition("/")[2]))[:8])
            original = LAYOUTS[source.dataset].row(row["language"], number)
            assert row["id"] == f"{name}/{row['language']}/{original['id']}"
            assert row["text"] == original["text"]
            assert row["url"] == original["url"]
            assert row["license"] == source.license


def test_every_language_has_pairs_from_both_releases_but_thai(documents: DocumentSet) -> None:
    found: dict[str, Counter[str]] = {"wikimatrix": Counter(), "wikimedia": Counter()}
    for name, counts in documents.counts["pairs"].items():
        found[name.partition("-")[0]].update(counts)
    assert found["wikimedia"] == dict.fromkeys(OTHERS, PAIRS)
    assert found["wikimatrix"] == dict.fromkeys(OTHERS - {"tha_Thai"}, PAIRS)


def test_english_is_the_first_side_whatever_the_order_of_the_zip(documents: DocumentSet) -> None:
    for name in ("wikimatrix-ar", "wikimedia-zh"):  # ar-en.txt.zip and en-zh.txt.zip
        pair = rows_of(documents.path / "pairs" / name)[0]
        assert pair["language_a"] == ENGLISH
        assert pair["text_a"].isascii()
        assert not pair["text_b"].isascii()


def test_curate_leaves_text_and_pairs_of_every_language(params: Params, shards: ShardSet) -> None:
    for code in params.languages:
        assert rows_of(shards.path / "documents" / code)
        assert rows_of(shards.path / "held_out/documents" / code)
        if code != ENGLISH:
            assert rows_of(shards.path / "pairs" / code)
            assert rows_of(shards.path / "held_out/pairs" / code)


def test_a_model_of_wikipedia_cuts_the_web_and_nothing_of_wikipedia(
    shards: ShardSet,
) -> None:
    dropped = pq.read_table(shards.path / "attrition.parquet").to_pylist()
    cut = {row["language"]: row for row in dropped if row["filter"] == "quality"}
    assert set(cut) == OTHERS
    for code in sorted(OTHERS):
        drops = rows_of(shards.path / "drops/documents" / code)
        assert {row["id"].partition("/")[0] for row in drops if row["filter"] == "quality"} == {
            "fineweb-2"
        }


def test_instructions_are_made_of_every_language(
    params: Params, documents: DocumentSet, shards: ShardSet, tmp_path: Path
) -> None:
    config = params.instruct.model_copy(update={"self_instruct": None})  # the teacher takes minutes
    run = make_run(tmp_path, languages=params.languages)
    made = instruct(config, documents, shards, SOURCES, run)
    for origin in ("cross-lingual", "continuation", "taco"):
        assert set(made.counts["train_by_origin"][origin]) >= OTHERS
    assert set(made.counts["held_out_by_language"]) == {ENGLISH, *OTHERS}


def test_the_model_has_the_parameters_that_are_told(params: Params) -> None:
    pretrain = params.pretrain
    assert params.vocab.vocab_size is not None
    shape = ModelShape(
        **pretrain.model.model_dump(),
        vocab_size=params.vocab.vocab_size,
        bos_id=1,
        eos_id=2,
        pad_id=3,
    )
    with torch.device("meta"):
        model = build_model(shape, seed=1)
    number = f"{sum(each.numel() for each in model.parameters()):,}"
    assert number == "101,354,240"
    assert number in (ROOT / "recipes/polylm-100m.yaml").read_text(encoding="utf-8")
    assert number in HOWTO


def test_the_budgets_are_whole_steps(params: Params) -> None:
    batch = params.pretrain.global_batch_tokens
    assert plan.steps(params) == [14_400, 9_600]
    assert [stage.tokens for stage in params.mix.stages] == [14_400 * batch, 9_600 * batch]
    assert params.pretrain.optimizer.warmup_tokens // batch == 715
    micro = load_profile(ROOT / "infra/profiles", "1x1-h200").training.micro_batch_sequences
    assert batch // params.pretrain.model.context_tokens % micro == 0


def test_corpora_as_assumed_hold_the_mixture_without_much_repetition(params: Params) -> None:
    languages = plan.assumed_languages(params)
    plans = plan.solved(params)
    drawn = {code: sum(stage.tokens[code] for stage in plans) for code in languages}
    assert max(drawn[code] / languages[code] for code in languages) < 2
    for stage, config in zip(plans, params.mix.stages, strict=True):
        monolingual = sum(stage.tokens[code] for code in languages)
        assert 1 - stage.tokens[ENGLISH] / monolingual == pytest.approx(config.non_english_share)


def test_the_howto_prints_the_arithmetic(params: Params) -> None:
    for line in (*plan.mixture_table(params), *plan.hours_table(params)):
        assert line in HOWTO.splitlines()
    assert f"{plan.training_flops(params):.3g}".replace("e+", "e") == "8.73e18"
    assert "8.73 * 10**18" in HOWTO
    micro = load_profile(ROOT / "infra/profiles", "1x1-h200").training.micro_batch_sequences
    gigabytes = plan.activation_bytes(params.pretrain.model, micro) / 1e9
    assert f"{gigabytes:.0f} GB of activations" in HOWTO


def test_the_howto_names_the_pins_of_the_recipe(params: Params) -> None:
    for source in params.ingest.sources.values():
        if isinstance(source, HuggingFaceSource):
            assert source.dataset in HOWTO
            assert source.revision in HOWTO
    fetched = {
        word
        for loop in re.findall(r"^for language in ([^;]+);", HOWTO, re.M)
        for word in loop.replace("\\", "").split()
    }
    sources = params.ingest.sources
    for source in (sources["fineweb-2"], sources["wikipedia"]):
        assert isinstance(source, HuggingFaceSource)
        assert {config.removeprefix("20231101.") for config in source.configs} <= fetched
