"""A certificate is given to the model that trained, and to nothing else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from polylm_core import tokenizer as tokenizers
from polylm_core.chat import CHAT_TEMPLATE, encode_chat, render
from polylm_core.errors import TrainingError
from polylm_core.records import Message
from polylm_core.training import parity
from polylm_core.training.certificate import SampleText
from polylm_core.training.parity import TOLERANCE, reference_logits
from tests.exported import CONTEXT, LANGUAGES, Exported, make_export, make_model, make_tokenizer


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    return make_export(tmp_path)


@pytest.fixture(autouse=True)
def _products_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def change_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def chat_sample(exported: Exported) -> None:
    """Make the export a chat model's, and its sample a chat."""
    twin = tokenizers.HuggingFaceTwin(exported.folder)
    (exported.folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    chat = [Message("user", "open the file menu"), Message("assistant", "save your changes.")]
    text = SampleText(
        language="eng_Latn",
        text=render(chat[:1], add_generation_prompt=True),
        ids=tuple(encode_chat(chat, twin).ids),
        messages=tuple({"role": turn.role, "content": turn.content} for turn in chat),
    )
    exported.sample = exported.sample.model_copy(update={"texts": (text,)})


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("max_shard_bytes", [1 << 30, 20_000])
def test_an_export_as_trained_is_certified(kind: str, max_shard_bytes: int, tmp_path: Path) -> None:
    exported = make_export(tmp_path, kind=kind, max_shard_bytes=max_shard_bytes)
    certificate = exported.certify()
    assert certificate.architecture == type(exported.engine.model).__name__
    assert certificate.parameters == sum(v.numel() for v in exported.engine.model.parameters())
    assert [row.language for row in certificate.languages] == list(LANGUAGES)
    assert all(row.logit_difference <= 1e-6 for row in certificate.languages)
    assert all(row.same_argmax == 1 for row in certificate.languages)
    assert all(row.positions == 2 * CONTEXT for row in certificate.languages)
    files = {file.name for file in exported.folder.iterdir()}
    assert certificate.sha256.keys() == files
    assert exported.engine._module.training


def test_the_same_export_has_the_same_certificate(exported: Exported, tmp_path: Path) -> None:
    again = make_export(tmp_path / "again")
    assert exported.certify().model_dump_json() == again.certify().model_dump_json()


def test_products_of_training_in_less_than_float32_do_not_blur_the_comparison(
    exported: Exported,
) -> None:
    torch.set_float32_matmul_precision("medium")
    assert all(row.logit_difference <= 1e-6 for row in exported.certify().languages)
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_trained_in_bfloat16_is_held_to_its_own_tolerance(
    kind: str, tmp_path: Path
) -> None:
    exported = make_export(tmp_path, kind=kind, precision="bfloat16")
    certificate = exported.certify()
    assert certificate.logit_tolerance == TOLERANCE["bfloat16"]
    largest = max(row.logit_difference for row in certificate.languages)
    assert TOLERANCE["float32"] < largest <= TOLERANCE["bfloat16"]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_forty_layers_round_within_the_tolerances(kind: str, exported: Exported) -> None:
    # 0.3 of Xavier's value, as in PolyLM-1.7B.
    model = make_model(make_tokenizer(), kind, num_layers=40, initializer_std=0.05).eval()
    ids = torch.tensor([text.ids[:16] for text in exported.sample.texts])
    with torch.no_grad():
        single, exact, rounded = (
            model.to(dtype)(input_ids=ids).logits.double()
            for dtype in (torch.float32, torch.float64, torch.bfloat16)
        )
    scale = exact.abs().max()
    assert 0 < (single - exact).abs().max() / scale < TOLERANCE["float32"] / 10
    assert 0 < (rounded - exact).abs().max() / scale < TOLERANCE["bfloat16"]


@pytest.mark.parametrize("position", [0, -1])
def test_one_changed_weight_is_named(exported: Exported, position: int) -> None:
    file = exported.folder / "model.safetensors"
    tensors = load_file(file)
    name = "transformer.h.1.mlp.c_fc.bias"
    tensors[name][position] += 1e-7
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=rf"not the model that trained.*\n  {name} is not as"):
        exported.certify()


def test_a_weight_that_was_lost_or_added_is_named(exported: Exported) -> None:
    file = exported.folder / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"extra": torch.ones(2)}, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="extra"):
        exported.certify()
    del tensors["transformer.ln_f.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"transformer\.ln_f\.bias"):
        exported.certify()


def test_a_file_that_does_not_open_is_told(exported: Exported) -> None:
    (exported.folder / "config.json").write_text("{}")
    with pytest.raises(TrainingError, match="does not open in transformers"):
        exported.certify()


@pytest.mark.parametrize(
    ("key", "value"), [("n_head", 2), ("activation_function", "relu"), ("layer_norm_epsilon", 0.1)]
)
def test_another_computation_with_the_same_weights_is_refused_with_figures(
    exported: Exported, key: str, value: object
) -> None:
    change_json(exported.folder / "config.json", lambda config: config.update({key: value}))
    with pytest.raises(TrainingError) as refused:
        exported.certify()
    for code in LANGUAGES:
        found = re.search(rf"{code}: a logit differs by (\S+) of the largest", str(refused.value))
        assert found is not None
        assert float(found[1]) > TOLERANCE["bfloat16"]
    assert "is not as trained" not in str(refused.value)


def test_logits_that_are_no_numbers_are_refused(exported: Exported) -> None:
    with torch.no_grad():
        exported.engine.model.transformer.ln_f.weight[0] = math.nan
    file = exported.folder / "model.safetensors"
    save_file(dict(exported.weights()), file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="eng_Latn: a logit differs by inf"):
        exported.certify()


def test_a_swapped_tokenizer_is_refused_by_language(exported: Exported) -> None:
    other = make_tokenizer(vocab_size=390)
    pieces = other.proto.SerializeToString()
    tokenizers.export_huggingface(pieces, exported.folder, context_tokens=CONTEXT)
    with pytest.raises(TrainingError, match=r"(?s)eng_Latn: the tokenizer gives \[.*tha_Thai: "):
        exported.certify()


def test_a_tokenizer_that_puts_something_before_a_text_is_refused(exported: Exported) -> None:
    def put_first(twin: dict[str, Any]) -> None:
        twin["normalizer"]["normalizers"].append({"type": "Prepend", "prepend": "▁"})

    change_json(exported.folder / "tokenizer.json", put_first)
    with pytest.raises(TrainingError, match=r"eng_Latn: the tokenizer gives .* from id 0 on where"):
        exported.certify()


def test_a_text_that_does_not_come_back_is_refused(exported: Exported) -> None:
    change_json(
        exported.folder / "tokenizer.json",
        lambda twin: twin["decoder"]["decoders"][0].update({"content": "_"}),
    )
    with pytest.raises(TrainingError, match=r"eng_Latn: .* comes back from the ids of"):
        exported.certify()


def test_a_wrong_end_in_the_generation_settings_is_refused(exported: Exported) -> None:
    change_json(
        exported.folder / "generation_config.json", lambda found: found.update({"eos_token_id": 5})
    )
    with pytest.raises(
        TrainingError, match=r"(?s)generation_config\.json says 5.*generation does not stop at id 2"
    ):
        exported.certify()


def test_a_tokenizer_with_another_end_is_refused(exported: Exported) -> None:
    change_json(
        exported.folder / "tokenizer_config.json", lambda found: found.update({"eos_token": "<s>"})
    )
    with pytest.raises(TrainingError, match="end with id 2, the tokenizer says 1"):
        exported.certify()


def test_a_chat_model_is_certified_on_its_chats(exported: Exported) -> None:
    chat_sample(exported)
    (row,) = exported.certify().languages
    assert row.tokens == len(exported.sample.texts[0].ids)


@pytest.mark.parametrize(
    ("written", "changed", "message"),
    [
        ("{{ '</s>' if", "{{ '' if", "the template ends an answer with id"),
        ("'|>\\n'", "'|> '", "eng_Latn: the template writes"),
        (CHAT_TEMPLATE, None, "the tokenizer has no chat template"),
    ],
)
def test_a_template_that_training_did_not_have_is_refused(
    exported: Exported, written: str, changed: str | None, message: str
) -> None:
    chat_sample(exported)
    file = exported.folder / "chat_template.jinja"
    if changed is None:
        file.unlink()
    else:
        assert written in CHAT_TEMPLATE
        file.write_text(CHAT_TEMPLATE.replace(written, changed), encoding="utf-8")
    with pytest.raises(TrainingError, match=message):
        exported.certify()


def test_the_logits_held_are_bounded_however_large_the_vocabulary(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = len(exported.sample.texts)
    monkeypatch.setattr(parity, "MAX_LOGITS", 400 * texts * 5 + 17)
    reference = reference_logits(exported.engine, exported.sample)
    assert reference.logits_NTV.shape == (texts, 5, 400)
    assert exported.certify().languages[0].positions == 10
