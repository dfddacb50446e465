"""Answers of a causal language model in this process, batch by batch.

They are the same on every run, because the random numbers are seeded for each batch and each batch
is computed by one thread (sums of floats depend on how they are split). More cores are used by more
batches at once.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.loading import uncollected
from polylm_core.teachers.teacher import Answer, Sampling


@dataclass(frozen=True)
class Loaded:
    """A model in float32 with its tokenizer, which pads on the left."""

    tokenizer: Any
    model: Any
    ends: frozenset[int]
    """Ids of which each ends an answer."""


def continue_batch(
    loaded: Loaded, texts: Sequence[str], sampling: Sampling, seed: int, *, is_rendered: bool
) -> list[Answer]:
    """Continue all texts in one batch; `is_rendered` ones have their special tokens already."""
    import torch  # costs 2 s, and a run that finds all answers stored does not need it

    tokenizer = loaded.tokenizer
    batch = tokenizer(
        list(texts), return_tensors="pt", padding=True, add_special_tokens=not is_rendered
    )
    with one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        output = loaded.model.generate(
            **batch,
            max_new_tokens=sampling.max_new_tokens,
            do_sample=True,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=1.0,
            pad_token_id=tokenizer.eos_token_id,
        )
    written = output[:, batch["input_ids"].shape[1] :].tolist()
    sizes = batch["attention_mask"].sum(dim=1).tolist()
    return [_answer(ids, size, loaded) for ids, size in zip(written, sizes, strict=True)]


def _answer(ids: list[int], prompt_tokens: int, loaded: Loaded) -> Answer:
    end = next((place for place, token in enumerate(ids) if token in loaded.ends), None)
    own = ids[:end]
    text = loaded.tokenizer.decode(own, skip_special_tokens=True)
    return Answer(text, end is not None, prompt_tokens, len(own) + (end is not None))


@functools.cache
def load_gguf(folder: Path, file: str) -> Loaded:
    """Load a GGUF file, dequantised to float32."""
    import torch  # see `continue_batch`
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with without_bars(), uncollected():  # millions of small objects: a third less time
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return Loaded(tokenizer, model, frozenset({tokenizer.eos_token_id}))


@functools.cache
def load_folder(folder: Path, fingerprint: str) -> Loaded:
    """Load a Hugging Face folder; `fingerprint` tells two contents of a path apart."""
    import torch  # see `continue_batch`
    from transformers import AutoModelForCausalLM, AutoTokenizer

    del fingerprint
    with without_bars():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, padding_side="left", local_files_only=True
        )
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    declared = model.generation_config.eos_token_id
    ends = declared if isinstance(declared, list) else [declared]
    return Loaded(tokenizer, model.eval(), frozenset({tokenizer.eos_token_id, *ends} - {None}))


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Load in silence: two bars that cannot be switched off would tear the stage's own."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, because sums of floats depend on how they are split."""
    import torch  # see `continue_batch`

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
