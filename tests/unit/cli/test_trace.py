"""`polylm trace` prints what a run saw, and says in one line what it cannot tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polylm_core.artifacts import (
    BaseModelFolder,
    Mixture,
    Tokenizer,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.cli.trace import of_document, of_step
from polylm_core.params import Params, load_params
from polylm_core.pipeline import STAGES, identity
from polylm_core.training.guard import Anomaly
from polylm_core.training.skips import Skips
from tests.architecture.closure import ROOT
from tests.encoded import PRETRAIN, make_encoded
from tests.unit.cli.test_main import polylm

ANOMALY = Anomaly(3, "gradient_norm", 9.5, level=0.4, z=21.0, score=1.8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TokenSet, Mixture]:
    root = tmp_path_factory.mktemp("checkout")
    return root, *make_encoded(root / "data")


@pytest.fixture(scope="module")
def recipe() -> Params:
    return load_params(ROOT / "params.yaml").model_copy(update={"pretrain": PRETRAIN})


def test_a_step_is_told_row_by_row_with_its_sums(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    told = of_step(made[0], recipe, 3)
    assert (told["step"], told["curriculum_stage"]) == (3, "early")
    assert sum(row["tokens"] for row in told["together"]) == PRETRAIN.global_batch_tokens
    assert {row["row"] for row in told["documents"]} == set(range(8))
    assert {row["source"] for row in told["documents"]} == {"invented"}


def test_a_document_is_told_with_the_steps_that_list_it(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    document = of_step(made[0], recipe, 3)["documents"][0]["document"]
    told = of_document(made[0], recipe, document)
    assert told["document"] == document
    assert told["end_token"] > told["first_token"]
    assert 3 in [seen["step"] for seen in told["seen"]]


def test_a_document_that_no_step_saw_is_told_so(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    told = of_document(made[0], recipe, "invented/tha_Thai/train-0")
    assert told["remarks"][-1].endswith("saw it: the mixture does not get that far")
    assert told["seen"] == []


@pytest.mark.parametrize(("seed", "remarks"), [(1234, 0), (99, 1)])
def test_a_model_of_another_run_is_remarked_on(
    made: tuple[Path, TokenSet, Mixture], recipe: Params, seed: int, remarks: int
) -> None:
    root, tokens, mixture = made
    out = root / "data/06_base"
    params = {"languages": list(recipe.languages), **PRETRAIN.model_dump(mode="json"), "seed": seed}
    made_from = {"encode": tokens.fingerprint, "mix": mixture.fingerprint}
    partial = partial_folder(out)
    publish(BaseModelFolder, partial, out, inputs=made_from, params=params, counts={})
    told = of_step(root, recipe, 1)["remarks"]
    shutil.rmtree(out)
    assert sum("this is not its run" in remark for remark in told) == remarks


def test_steps_that_were_left_out_of_training_are_told(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    root, tokens, mixture = made
    pretrain = PRETRAIN.model_copy(update={"skip_steps": ((4, 5),)})
    told = recipe.model_copy(update={"pretrain": pretrain})
    out = root / "data/06_base"
    params = {"languages": list(recipe.languages), **pretrain.model_dump(mode="json"), "seed": 1234}
    made_from = {"encode": tokens.fingerprint, "mix": mixture.fingerprint}
    partial = partial_folder(out)
    skips = Skips(partial / "skips.jsonl")
    skips.add(skips.respond(ANOMALY, PRETRAIN.guard, last_good=2, checkpoints=[]))
    skips.write()
    publish(BaseModelFolder, partial, out, inputs=made_from, params=params, counts={})
    remarks = [of_step(root, told, step)["remarks"] for step in (2, 3, 4)]
    document = of_step(root, told, 3)["documents"][-1]["document"]
    (seen,) = of_document(root, told, document)["remarks"]
    shutil.rmtree(out)
    assert remarks == [[], ["left out of training: step 3"], ["left out of training: step 4"]]
    assert "left out of training: step 3" in seen


def test_steps_that_are_left_out_are_told_while_the_run_goes_on(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    root, tokens, mixture = made
    inputs = {
        "vocab": Tokenizer.load(root / "data/03_tokenizer"),
        "encode": tokens,
        "mix": mixture,
    }
    name = identity(STAGES["pretrain"], recipe, inputs, None)
    work = root / f"runs/pretrain-{name[:16]}"
    work.mkdir(parents=True)
    skips = Skips(work / "skips.jsonl")
    skips.add(skips.respond(ANOMALY, PRETRAIN.guard, last_good=2, checkpoints=[]))
    skips.write()
    remarks = [of_step(root, recipe, step)["remarks"] for step in (2, 3)]
    shutil.rmtree(work)
    assert remarks == [[], ["left out of training: step 3"]]


def test_without_tokens_the_stage_to_run_is_named(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = polylm("trace", "step", "1", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: data/04_tokens has no manifest.json; run `dvc repro encode` to make it\n"
    )
