"""The whole chain through the real `dvc repro`, at the size of a test.

One checkout is reproduced once for all tests; each test then changes one thing and looks at what
that does. They run in the order they stand in.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from polylm_core.pipeline import STAGES
from tests.clone import Clone, executed

pytestmark = pytest.mark.timeout(900)


def test_every_artifact_exists_with_its_manifest(clone: Clone) -> None:
    for stage in STAGES.values():
        stage.load(clone.path)


def test_a_second_run_does_nothing(clone: Clone) -> None:
    status, output = clone.repro()
    assert status == 0
    assert "Running stage" not in output
    assert clone.run("dvc", "status")[1].strip().endswith("up to date.")


def test_every_stage_left_its_provenance_and_no_clock_in_an_artifact(clone: Clone) -> None:
    assert {record["stage"] for record in clone.provenance} == set(STAGES)
    assert len({record["run_tag"] for record in clone.provenance}) == 1
    assert all(record["flow_run_url"].startswith("http://127.0.0.1") for record in clone.provenance)
    for stage in STAGES.values():
        manifest = (clone.path / stage.out / "manifest.json").read_text()
        assert str(clone.path) not in manifest


def test_another_learning_rate_makes_no_earlier_stage_stale(clone: Clone) -> None:
    clone.edit_params("  learning_rate: 0.002", "  learning_rate: 0.003")
    status, output = clone.run("dvc", "status", "--json")
    clone.edit_params("  learning_rate: 0.003", "  learning_rate: 0.002")
    assert status == 0, output
    changed = {"changed deps": {"params.yaml": {"finetune": "modified"}}}
    assert json.loads(output) == {"finetune": [changed]}


@pytest.mark.slow
def test_another_learning_rate_runs_only_the_last_three_stages(clone: Clone) -> None:
    before = clone.artifacts()
    clone.edit_params("  learning_rate: 0.002", "  learning_rate: 0.003")
    status, output = clone.repro()
    assert status == 0, output
    assert executed(output) == ["finetune", "evaluate", "report"]
    changed = {name for name, sha in clone.artifacts().items() if before.get(name) != sha}
    assert {name.split("/")[1] for name in changed} == {"08_chat", "09_scores", "10_report"}
    clone.edit_params("  learning_rate: 0.003", "  learning_rate: 0.002")
    status, output = clone.repro()
    assert status == 0, output
    assert clone.artifacts() == before


def test_curves_and_mixture_are_drawn_by_dvc(clone: Clone) -> None:
    status, output = clone.run("dvc", "plots", "show", "--json")
    assert status == 0, output
    plots = [shown[0]["content"] for shown in json.loads(output)["data"].values()]
    drawn = {plot["title"]["text"]: plot["data"]["values"] for plot in plots}
    assert len(drawn["Loss, nats a token"]) > 10
    assert float(drawn["Learning rate"][0]["learning_rate"]) > 0
    streams = {row["stream"] for row in drawn["Tokens of each stream by curriculum stage"]}
    assert any(stream.endswith(": tha_Thai") for stream in streams)


@pytest.mark.slow
def test_an_experiment_trains_with_another_learning_rate(clone: Clone) -> None:
    before = clone.artifacts()
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("add", "-A"), ("commit", "-qm", "before")):
        assert clone.run("git", *identity, *command)[0] == 0
    rate = "pretrain.optimizer.peak_learning_rate"
    status, output = clone.run(
        "dvc", "exp", "run", "--single-item", "pretrain", "-S", f"{rate}=0.005"
    )
    assert status == 0, output
    assert executed(output) == ["pretrain"]
    manifest = json.loads((clone.path / "data/06_base/manifest.json").read_text())
    assert manifest["params"]["optimizer"]["peak_learning_rate"] == 0.005
    compared = json.loads(clone.run("dvc", "params", "diff", "--json")[1])
    assert compared["params.yaml"][rate]["new"] == 0.005
    for command in (("git", "checkout", "-q", "."), ("dvc", "checkout", "--quiet", "--force")):
        assert clone.run(*command)[0] == 0
    assert clone.artifacts() == before


def test_a_deleted_artifact_comes_back_from_the_cache(clone: Clone) -> None:
    before = clone.artifacts()
    shutil.rmtree(clone.path / "data/03_tokenizer")
    status, output = clone.repro()
    assert status == 0, output
    assert clone.artifacts() == before
    assert "> python -m flows." not in output


def test_a_flipped_byte_is_refused_before_use_and_the_file_is_named(clone: Clone) -> None:
    file = clone.path / "data/04_tokens/train/eng_Latn.bin"
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    status, output = clone.run("python", "-m", "flows.mix")
    file.write_bytes(whole)
    assert status == 1
    assert "data/04_tokens/train/eng_Latn.bin: sha256 is" in output
    assert "Traceback" not in output
    assert not list((clone.path / "data").glob(".*.partial"))


def test_three_mistakes_in_the_recipe_are_told_at_once(clone: Clone) -> None:
    recipe = clone.path / "params.yaml"
    text = recipe.read_text()
    clone.edit_params("languages: [eng_Latn, deu_Latn, tha_Thai]", "languages: [eng_Latn, deu]")
    clone.edit_params("  vocab_size: 1500", "  vocab_size: -5")
    clone.edit_params("  learning_rate: 0.002", "  learning_rat: 0.002")
    status, output = clone.run("python", "-m", "flows.ingest")
    recipe.write_text(text)
    assert status == 1
    assert "Traceback" not in output
    for part in (
        "languages.1",
        "'deu'",
        "vocab.vocab_size",
        "-5",
        "finetune.phases.0.learning_rat:",
    ):
        assert part in output


def test_the_report_and_the_chat_model_are_usable(clone: Clone) -> None:
    assert (clone.path / "data/10_report/report.html").stat().st_size > 10_000
    assert (clone.path / "data/08_chat/model.safetensors").is_file()
    assert Path(clone.path / "data/08_chat/tokenizer.json").is_file()


def test_a_full_disk_is_named_and_nothing_half_written_counts(clone: Clone) -> None:
    data, aside = clone.path / "data", clone.path / "data-aside"
    data.rename(aside)
    data.mkdir()
    used = sum(file.stat().st_size for file in (aside / "01_documents").rglob("*"))
    size = f"size={used + 400_000}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", data]).returncode == 0
    try:
        if not mounted:
            pytest.skip("mounting a small disk takes root")
        shutil.copytree(aside / "01_documents", data / "01_documents")
        status, output = clone.run("python", "-m", "flows.curate")
        published = (data / "02_shards").exists()
    finally:
        if mounted:
            subprocess.run(["umount", data], check=True)
        data.rmdir()
        aside.rename(data)
    assert status == 1
    assert "no space left while writing" in output
    assert "Traceback" not in output
    assert not published


MODEL_CARD_CALL = """
from transformers import pipeline
generator = pipeline("text-generation", model="data/08_chat")
prompt = generator.tokenizer.decode(generator.tokenizer.encode("Save the file. " * 60)[:100])
answers = generator(
    prompt, do_sample=False, num_beams=4, max_new_tokens=128, early_stopping=True
)
print("answered", len(answers[0]["generated_text"]) >= len(prompt))
"""


def test_transformers_answers_the_call_of_the_model_card(clone: Clone) -> None:
    status, output = clone.run("python", "-c", MODEL_CARD_CALL, HF_HUB_OFFLINE="1")
    assert status == 0, output
    assert "answered True" in output
