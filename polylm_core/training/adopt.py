"""Somebody's model as a folder of this pipeline, and the proof that it is the same model.

In: a Hugging Face folder or a GGUF file of a Llama or a GPT-2. Out: a folder as `export.py` writes
it, in float32, with the model's own tokenizer and chat template, and its certificate. Weights of a
folder are read one by one; a GGUF file, which `transformers` makes float32, is held whole.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

from polylm_core.errors import TrainingError
from polylm_core.storage import no_space_named
from polylm_core.training.certificate import Certificate, Sample, SampleText, write_certificate
from polylm_core.training.engine import Part
from polylm_core.training.export import Weights, write_model
from polylm_core.training.initialise import FolderValues
from polylm_core.training.job import ModelShape
from polylm_core.training.model import configuration_of, empty_model, require_same
from polylm_core.training.parity import certify, logits_of, opened
from polylm_core.training.template_probe import require_harmless

ARCHITECTURES = ("llama", "gpt2")


@dataclass(frozen=True)
class Adopted:
    """A model of others, opened."""

    folder: Path
    gguf_file: str | None
    config: PreTrainedConfig
    tokenizer: Any

    @property
    def eos_id(self) -> int:
        """Ends its answers."""
        return int(self.tokenizer.eos_token_id)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; nothing is put before or after it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))


def open_model(folder: Path, gguf_file: str | None = None) -> Adopted:
    """Open configuration and tokenizer; raises TrainingError for what cannot be adopted."""
    named: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    named |= {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(folder, **named)
            tokenizer = AutoTokenizer.from_pretrained(folder, **named)
    except Exception as error:  # what files of others make its readers raise no list covers
        raise TrainingError(
            f"{folder}: transformers cannot read its configuration or tokenizer ({error}); name "
            "config.json and the tokenizer's files among those to take"
        ) from error
    if config.model_type not in ARCHITECTURES:
        raise TrainingError(
            f"{folder} is a {config.model_type}; only {' and '.join(ARCHITECTURES)} can be adopted"
        )
    if not tokenizer.is_fast or tokenizer.eos_token_id is None:
        raise TrainingError(
            f"{folder}: its tokenizer has no tokenizer.json or no end token; choose a folder whose "
            "tokenizer has both"
        )
    require_harmless(tokenizer, folder)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.bos_token_id = tokenizer.bos_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    return Adopted(folder, gguf_file, config, tokenizer)


def require_described(adopted: Adopted, shape: ModelShape) -> None:
    """Raise TrainingError with every difference between the params and the model."""
    require_same(
        configuration_of(shape), adopted.config, adopted.folder, field="pretrain.imported.model"
    )
    if shape.vocab_size != adopted.config.vocab_size:
        raise TrainingError(
            f"{adopted.folder}: vocab_size is {adopted.config.vocab_size} there and "
            f"{shape.vocab_size} in the params; correct pretrain.imported.model"
        )


def adopt(adopted: Adopted, texts: list[tuple[str, str]], folder: Path) -> Certificate:
    """Write the model to `folder` and hold it against where it came from on (language, text).

    Raises TrainingError when the two are not the same model.
    """
    sample = Sample(
        eos_id=adopted.eos_id,
        texts=tuple(
            SampleText(language=language, text=text, ids=tuple(adopted.encode(text)))
            for language, text in texts
        ),
        comes_back=False,
    )
    with torch.device("meta"):
        plain = empty_model(adopted.config)
    shapes = {name: tuple(value.shape) for name, value in plain.named_parameters()}
    with _source(adopted) as model, no_space_named(folder):

        def weights() -> Weights:
            if adopted.gguf_file is not None:
                yield from ((name, value.detach()) for name, value in model.named_parameters())
                return
            prefix = f"{plain.base_model_prefix}."
            values = FolderValues(adopted.folder, vocabulary=frozenset(), prefix=prefix)
            for name, shape in shapes.items():
                whole = Part(name, shape, 0, torch.Size(shape).numel())
                yield name, values(whole).view(shape).clone()

        write_model(adopted.config, shapes, weights(), folder)
        adopted.tokenizer.save_pretrained(folder)
        for file in folder.iterdir():
            file.chmod(0o644)
        reference = logits_of(model, sample)
        certificate = certify(folder, sample, reference, weights(), precision="float32")
        write_certificate(folder, certificate)
    return certificate


@contextlib.contextmanager
def _source(adopted: Adopted) -> Iterator[Any]:
    """Open the model where it came from."""
    if adopted.gguf_file is None:
        with opened(adopted.folder) as (model, _):
            yield model
        return
    with _quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            adopted.folder,
            gguf_file=adopted.gguf_file,
            dtype=torch.float32,
            local_files_only=True,
        )
    yield loaded.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Two bars that cannot be switched off would tear the stage's own."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
