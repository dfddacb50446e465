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
from polylm_core.cli.trace import document_lines, step_lines
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


def test_a_step_is_printed_row_by_row_with_its_sums(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    head, empty, names, *rows = step_lines(made[0], recipe, 3)
    assert head.startswith("step 3 of ")
    assert head.endswith("curriculum stage early")
    assert (empty, names.split()) == ("", ["row", "languages", "source", "tokens", "document"])
    cells = [row.split() for row in rows]
    together = [row for row in cells if row[-1] == "together"]
    assert sum(int(row[-2]) for row in together) == PRETRAIN.global_batch_tokens
    assert {row[0] for row in cells[: -len(together)]} == {str(row) for row in range(8)}
    assert {row[2] for row in cells[: -len(together)]} == {"invented"}


def test_a_document_is_printed_with_the_steps_that_list_it(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    document = step_lines(made[0], recipe, 3)[3].split()[-1]
    place, _, head, *rows = document_lines(made[0], recipe, document)
    assert place.startswith(f"{document}: tokens ")
    assert head.split()[:3] == ["step", "stage", "epoch"]
    assert "3" in [row.split()[0] for row in rows]


def test_a_document_that_no_step_saw_is_told_so(
    made: tuple[Path, TokenSet, Mixture], recipe: Params
) -> None:
    lines = document_lines(made[0], recipe, "invented/tha_Thai/train-0")
    assert lines[-1].endswith("saw it: the mixture does not get that far")


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
    lines = step_lines(root, recipe, 1)
    shutil.rmtree(out)
    assert sum("this is not its run" in line for line in lines) == remarks


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
    remarks = [step_lines(root, told, step)[1] for step in (2, 3, 4)]
    document = step_lines(root, told, 3)[-3].split()[-1]
    seen = document_lines(root, told, document)[1]
    shutil.rmtree(out)
    assert remarks == ["", "left out of training: step 3", "left out of training: step 4"]
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
    remarks = [step_lines(root, recipe, step)[1] for step in (2, 3)]
    shutil.rmtree(work)
    assert remarks == ["", "left out of training: step 3"]


def test_without_tokens_the_stage_to_run_is_named(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = polylm("trace", "step", "1", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: data/04_tokens has no manifest.json; run `dvc repro encode` to make it\n"
    )
