"""Accuracy by the mean log-likelihood of a token, as PolyLM scores XNLI (appendix B).

lm-evaluation-harness normalises by characters or bytes alone.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

METRIC = "acc_per_token"


def add_acc_per_token(tokenizer: Any, samples: Sequence[MutableMapping[str, Any]]) -> None:
    """Add the metric to the harness's samples of options without a prompt before them."""
    for sample in samples:
        lengths = [
            len(tokenizer.encode(option, add_special_tokens=False))
            for _, option in sample["arguments"]
        ]
        means = [
            value / length
            for (value, _), length in zip(sample["filtered_resps"], lengths, strict=True)
        ]
        sample[METRIC] = float(means.index(max(means)) == int(sample["target"]))
        sample["metrics"] = [*sample["metrics"], METRIC]
