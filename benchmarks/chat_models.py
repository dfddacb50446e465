"""Chat models that a benchmark asks: a Hugging Face folder, with or without a LoRA adapter.

Greedy, in padded batches of prompts of about the same length, on all cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging as transformers_logging

BATCH = 64
PERPLEXITY_BATCH = 8


@dataclass(frozen=True)
class Chatter:
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any

    def prompt(self, messages: Sequence[dict[str, str]]) -> str:
        """The chat as text that waits for the assistant, by the folder's own template."""
        return str(
            self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=False
            )
        )


def load(folder: Path, adapter: Path | None = None) -> Chatter:
    """Load a model in float32; ends the program with the missing file's name."""
    for needed in (folder / "config.json", *([adapter / "adapter_config.json"] if adapter else [])):
        if not needed.is_file():
            raise SystemExit(f"error: {needed} is missing; run the recipe to its end first")
    torch.set_num_threads(os.cpu_count() or 1)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Chatter(model.eval(), tokenizer)


def answer(
    chatter: Chatter,
    prompts: Sequence[str],
    max_new_tokens: Sequence[int],
    *,
    what: str,
    is_enough: Callable[[str], object] = lambda text: False,
) -> list[str]:
    """Continue each prompt greedily, by at most its number of tokens.

    An answer whose whole lines are enough is not gone on with.
    """
    encoded = [chatter.tokenizer.encode(text, add_special_tokens=False) for text in prompts]
    order = sorted(range(len(prompts)), key=lambda n: (len(encoded[n]), n))
    answers = [""] * len(prompts)
    for begin in tqdm(range(0, len(order), BATCH), desc=what):
        members = order[begin : begin + BATCH]
        texts = _continued(
            chatter,
            [encoded[n] for n in members],
            [max_new_tokens[n] for n in members],
            is_enough,
        )
        for number, text in zip(members, texts, strict=True):
            answers[number] = text
    return answers


@torch.inference_mode()
def _continued(
    chatter: Chatter,
    prompts: Sequence[list[int]],
    most: Sequence[int],
    is_enough: Callable[[str], object],
) -> list[str]:
    """Continue a batch token by token.

    Rows that have ended leave it, or they would cost as much as the others until the longest has.
    """
    eos = int(chatter.tokenizer.eos_token_id)
    width = max(map(len, prompts))
    ids_BT = torch.tensor([[eos] * (width - len(ids)) + ids for ids in prompts])
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=chatter.model.config)
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    while rows:
        logits_BV = chatter.model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[:, -1]
        goes_on = []
        for place, (row, token) in enumerate(zip(rows, logits_BV.argmax(1).tolist(), strict=True)):
            if token == eos:
                continue
            written[row].append(token)
            lines = _said(chatter, written[row]).rpartition("\n")[0]
            if len(written[row]) < most[row] and not is_enough(lines):
                goes_on.append(place)
        if len(goes_on) < len(rows):
            rows = [rows[place] for place in goes_on]
            cache.batch_select_indices(torch.tensor(goes_on, dtype=torch.long))
        ids_BT = torch.tensor([[written[row][-1]] for row in rows])
        mask_BT = torch.cat([mask_BT[goes_on], torch.ones(len(rows), 1, dtype=torch.long)], 1)
        positions_BT = positions_BT[goes_on, -1:] + 1
    return [_said(chatter, tokens).strip() for tokens in written]


def _said(chatter: Chatter, tokens: list[int]) -> str:
    return str(chatter.tokenizer.decode(tokens, skip_special_tokens=True))


def nats_a_token(chatter: Chatter, texts: Sequence[str], *, tokens: int, window: int) -> float:
    """Mean negative log likelihood of the first `tokens` tokens of the texts, in nats.

    Texts are cut into windows, each read by itself; perplexity is its exponential.
    """
    ids: list[int] = []
    for text in texts:
        ids += chatter.tokenizer.encode(f"{text}\n", add_special_tokens=False)
        if len(ids) >= tokens:
            break
    windows = [ids[n : n + window] for n in range(0, min(len(ids), tokens) - window + 1, window)]
    if not windows:
        raise SystemExit(f"error: the held-out text has fewer than {window} tokens")
    nats = 0.0
    with torch.inference_mode():
        for begin in range(0, len(windows), PERPLEXITY_BATCH):
            ids_BT = torch.tensor(windows[begin : begin + PERPLEXITY_BATCH])
            logits_BTV = chatter.model(input_ids=ids_BT).logits[:, :-1]
            nats += float(
                torch.nn.functional.cross_entropy(
                    logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="sum"
                )
            )
    return nats / (len(windows) * (window - 1))
