"""A Hugging Face folder in memory, and greedy generation in padded batches.

Every unit computes with the same number of threads, and batches depend on the items alone, so
the numbers do not depend on how many workers share the units.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from polylm_core.artifacts import ADAPTERS
from polylm_core.errors import CorruptArtifactError

TORCH_THREADS = 1
"""Threads of one unit: the width comes from units side by side, and sums depend on the threads."""

NO_LIMIT = 10**9
GENERATION_BATCH = 16
"""Prompts decoded at once: part of the result, as padding can turn a near-tie."""


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in float32 with its tokenizer."""

    model: Any
    tokenizer: Any
    context_tokens: int
    eos_id: int
    device: torch.device

    def encode(self, text: str) -> list[int]:
        """Ids of a text; nothing is put before or after it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))


@dataclass(frozen=True, slots=True)
class Generated:
    """One decoded answer."""

    text: str
    tokens: int
    """Without the token that ended it."""
    stopped: bool
    """The model ended it itself."""


@functools.lru_cache(maxsize=2)
def load_model(path: Path, fingerprint: str, adapter: str | None) -> LoadedModel:
    """Load a verified folder once a process; `fingerprint` tells two contents of a path apart.

    Its adapter of that name is merged into it.
    """
    del fingerprint
    torch.set_num_threads(TORCH_THREADS)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    if adapter is not None:
        from peft import PeftModel  # costs a second, and most runs have none

        folder = path / ADAPTERS / adapter
        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    # Texts are cut into windows after they are encoded, so a long one is no reason to warn.
    tokenizer = AutoTokenizer.from_pretrained(
        path, local_files_only=True, model_max_length=NO_LIMIT
    )
    return LoadedModel(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        context_tokens=int(model.config.max_position_embeddings),
        eos_id=int(tokenizer.eos_token_id),
        device=device,
    )


def chat_prompt(loaded: LoadedModel, messages: Sequence[dict[str, str]]) -> list[int]:
    """Ids of a chat that waits for the assistant, by the folder's own template."""
    if loaded.tokenizer.chat_template is None:
        raise CorruptArtifactError(
            f"{loaded.tokenizer.name_or_path}: the tokenizer has no chat template; "
            "run `dvc repro --force finetune`"
        )
    text = loaded.tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=False
    )
    return loaded.encode(text)


def generate(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    repetition_penalty: float,
) -> list[Generated]:
    """Continue each prompt greedily; prompts must leave room for `max_new_tokens`."""
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=False,
        repetition_penalty=repetition_penalty,
        eos_token_id=loaded.eos_id,
        pad_token_id=loaded.eos_id,
    )
    answers: list[Generated] = []
    for first in range(0, len(prompts), GENERATION_BATCH):
        batch = prompts[first : first + GENERATION_BATCH]
        width = max(map(len, batch))
        padding = [width - len(prompt) for prompt in batch]
        # The penalty of repetition sees padding too: the prompt's own token changes nothing.
        ids_BT = torch.tensor(
            [[ids[0]] * pad + list(ids) for pad, ids in zip(padding, batch, strict=True)]
        )
        mask_BT = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
        with torch.inference_mode():
            out_BT = loaded.model.generate(
                input_ids=ids_BT.to(loaded.device),
                attention_mask=mask_BT.to(loaded.device),
                generation_config=settings,
            )
        answers += [_answer(loaded, row[width:]) for row in out_BT.tolist()]
    return answers


def _answer(loaded: LoadedModel, ids: list[int]) -> Generated:
    stopped = loaded.eos_id in ids
    kept = ids[: ids.index(loaded.eos_id)] if stopped else ids
    text = loaded.tokenizer.decode(kept, skip_special_tokens=True)
    return Generated(text=text.strip(), tokens=len(kept), stopped=stopped)
