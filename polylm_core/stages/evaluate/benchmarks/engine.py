"""A model as lm-evaluation-harness asks it: its scores to the item, with less computing.

Log-likelihoods are computed over prefix trees (`trees.py`): what options, and neighbouring items,
have in common is computed once, in batches of like sizes, with the projection to the vocabulary
at the scored positions alone. Tokens, windows and generation are those of the harness's `hf`
backend, of which this is a subclass.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lm_eval.models.huggingface import HFLM

from polylm_core.stages.evaluate.benchmarks.shards import Answered, RequestKind
from polylm_core.stages.evaluate.model import GENERATION_BATCH, LoadedModel, load_model


class Engine(HFLM):
    """A loaded model behind the harness's interface."""

    def __init__(self, loaded: LoadedModel) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=GENERATION_BATCH,
            max_length=loaded.context_tokens,
            device=str(loaded.device),
        )

    def answer(self, kind: RequestKind, arguments: Sequence[tuple[Any, ...]]) -> Answered:
        """Answer requests of one kind."""
        requests = [SimpleNamespace(args=given, task_name="") for given in arguments]
        answers = getattr(self, kind)(requests, disable_tqdm=True)
        return Answered(list(answers), 0)


@functools.lru_cache(maxsize=2)
def open_engine(path: Path, fingerprint: str, adapter: str | None) -> Engine:
    """Load a verified folder once a process."""
    return Engine(load_model(path, fingerprint, adapter))
