"""A small trained model with its tokenizer, exported as a training run exports it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from polylm_core import tokenizer as tokenizers
from polylm_core.training.certificate import Certificate, Sample, SampleText
from polylm_core.training.export import write_model
from polylm_core.training.job import TrainJob
from polylm_core.training.parity import certify, reference_logits
from polylm_core.training.whole import WholeEngine
from tests.shards import documents
from tests.training_job import make_job

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
CONTEXT = 32


def make_tokenizer(*, vocab_size: int = 400) -> tokenizers.SentencePieceTokenizer:
    """A vocabulary of invented sentences in three languages."""
    texts = [document.text for code in LANGUAGES for document in documents(code, 40, split="train")]
    sentences = (line for text in texts for line in text.split("\n"))
    pieces = tokenizers.train_sentencepiece(
        sentences, vocab_size=vocab_size, character_coverage=0.999
    )
    return tokenizers.SentencePieceTokenizer(pieces)


def make_model(
    tokenizer: tokenizers.SentencePieceTokenizer,
    kind: str = "gpt2",
    *,
    num_layers: int = 2,
    initializer_std: float = 0.2,
) -> PreTrainedModel:
    """A decoder, by default with weights large enough to tell what computes with them."""
    torch.manual_seed(3)
    ids = {
        "vocab_size": tokenizer.vocab_size,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "use_cache": False,
    }
    if kind == "gpt2":
        drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = GPT2Config(
            n_positions=CONTEXT,
            n_embd=32,
            n_layer=num_layers,
            n_head=4,
            initializer_range=initializer_std,
            **drop,
            **ids,
        )
        return GPT2LMHeadModel(config)
    return LlamaForCausalLM(
        LlamaConfig(
            max_position_embeddings=CONTEXT,
            hidden_size=32,
            intermediate_size=88,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=initializer_std,
            tie_word_embeddings=False,
            **ids,
        )
    )


def make_sample(tokenizer: tokenizers.SentencePieceTokenizer) -> Sample:
    """Two held-out texts of each language."""
    texts = [
        SampleText(
            language=document.language,
            text=document.text,
            ids=tuple(tokenizer.encode(document.text)),
        )
        for code in LANGUAGES
        for document in documents(code, 2, split="held_out")
    ]
    return Sample(eos_id=tokenizer.eos_id, texts=tuple(texts))


@dataclass
class Exported:
    """An exported folder and what it was exported from; a test may change either."""

    folder: Path
    engine: WholeEngine
    job: TrainJob
    sample: Sample
    pieces: bytes

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The trained values, as a checkpoint yields them."""
        for part, state in self.engine.parts():
            yield part.name, state["weight"].view(part.shape).clone()

    def certify(self) -> Certificate:
        """Hold the folder against the engine's model."""
        reference = reference_logits(self.engine, self.sample)
        precision = self.job.precision
        return certify(self.folder, self.sample, reference, self.weights(), precision=precision)


def make_export(
    folder: Path,
    *,
    kind: str = "gpt2",
    max_shard_bytes: int = 1 << 30,
    **job_changes: object,
) -> Exported:
    """Train for three steps and export."""
    tokenizer = make_tokenizer()
    made = make_job(folder / "job", sharding="none").model_copy(update=job_changes)
    engine = WholeEngine(make_model(tokenizer, kind), made)
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        ids_BT = torch.randint(4, tokenizer.vocab_size, (2, CONTEXT), generator=random)
        engine.backward(engine.losses(ids_BT, ids_BT), last=True)
        engine.update(1e-3, float(engine.gradient_square().sqrt()))
    pieces = tokenizer.proto.SerializeToString()
    exported = Exported(folder / "export", engine, made, make_sample(tokenizer), pieces)
    shapes = {part.name: part.shape for part, _ in engine.parts()}
    write_model(
        engine.model.config,
        shapes,
        exported.weights(),
        exported.folder,
        max_shard_bytes=max_shard_bytes,
    )
    tokenizers.export_huggingface(pieces, exported.folder, context_tokens=CONTEXT)
    return exported
