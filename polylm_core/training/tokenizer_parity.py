"""The tokenizer in an exported folder, and where generation stops, held against the training.

Legend: N texts, T positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from polylm_core.training.certificate import Sample, SampleText

PROMPT_TOKENS = 8
MAX_NEW_TOKENS = 4


def tokenizer_faults(tokenizer: Any, sample: Sample) -> Iterator[str]:
    """Yield where the tokenizer does not give the ids of training, or not the text back."""
    for text in sample.texts:
        for fault in _faults(tokenizer, sample, text):
            yield f"{text.language}: {fault}"


def _faults(tokenizer: Any, sample: Sample, text: SampleText) -> Iterator[str]:
    """Yield what is wrong with the tokenizer in the folder, for one text."""
    remedy = "run `dvc repro --force vocab`, and what follows it"
    ids = tokenizer.encode(text.text, add_special_tokens=False)
    expected = list(text.ids[: len(ids)] if text.messages else text.ids)
    if ids != expected:
        first = next(
            (i for i, pair in enumerate(zip(ids, expected, strict=False)) if pair[0] != pair[1]),
            min(len(ids), len(expected)),
        )
        yield (
            f"the tokenizer gives {ids[first : first + 4]} from id {first} on where "
            f"{expected[first : first + 4]} were trained on; {remedy}"
        )
    elif sample.comes_back and tokenizer.decode(ids) != text.text:
        yield f"{tokenizer.decode(ids)!r} comes back from the ids of {text.text!r}; {remedy}"
    if text.messages:
        yield from _chat_faults(tokenizer, sample.eos_id, text)


def _chat_faults(tokenizer: Any, eos_id: int, text: SampleText) -> Iterator[str]:
    remedy = "run `dvc repro --force finetune`"
    if tokenizer.chat_template is None:
        yield f"the tokenizer has no chat template; {remedy}"
        return
    chat = list(text.messages)
    prompt = tokenizer.apply_chat_template(chat[:-1], add_generation_prompt=True, tokenize=False)
    if prompt != text.text:
        yield f"the template writes {prompt!r}, trained on was {text.text!r}; {remedy}"
    ids = tokenizer.encode(
        tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False
    )
    last = max((place for place, each in enumerate(ids) if each == eos_id), default=-1)
    after = tokenizer.decode(ids[last + 1 :])
    if last < len(tokenizer.encode(prompt, add_special_tokens=False)) or after.strip():
        yield f"the template ends an answer with id {ids[-1]}, training with {eos_id}; {remedy}"


class _EndSecond(LogitsProcessor):
    """Makes the model end its text with the second token that it generates, not the first."""

    def __init__(self, eos_id: int) -> None:
        self._eos_id = eos_id
        self._generated = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._generated += 1
        ended = torch.full_like(scores, -math.inf)
        ended[:, self._eos_id] = 0.0
        scores[:, self._eos_id] = -math.inf
        return scores if self._generated == 1 else ended


def end_faults(model: Any, tokenizer: Any, sample: Sample) -> Iterator[str]:
    """Yield what keeps generation from ending where the model ends its text."""
    remedy = "the tokenizer is not the one the model was trained with; make both of one run"
    named = {
        "generation_config.json": model.generation_config.eos_token_id,
        "config.json": model.config.eos_token_id,
        "the tokenizer": tokenizer.eos_token_id,
    }
    for where, eos_id in named.items():
        if eos_id != sample.eos_id:
            yield f"texts end with id {sample.eos_id}, {where} says {eos_id}; {remedy}"
    length = min(PROMPT_TOKENS, *(len(text.ids) for text in sample.texts))
    prompts_NT = torch.tensor([text.ids[:length] for text in sample.texts])
    generated_NT = model.generate(
        input_ids=prompts_NT,
        attention_mask=torch.ones_like(prompts_NT),
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
        logits_processor=LogitsProcessorList([_EndSecond(sample.eos_id)]),
    )[:, length:]
    if generated_NT.shape[1] != 2 or not bool((generated_NT[:, 1] == sample.eos_id).all()):
        yield (
            f"generation does not stop at id {sample.eos_id}: {generated_NT[0].tolist()} follows "
            f"a text that ends with its second token; {remedy}"
        )
