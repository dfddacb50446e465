"""`polylm merge-adapter`: a chat model and one of its adapters as one Hugging Face folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from polylm_core.artifacts import ADAPTERS, adapters_of
from polylm_core.errors import TrainingError


def merged(chat: Path, phase: str, out: Path) -> dict[str, Any]:
    """Write the merged model to `out`; return what is to be told of it.

    Raises TrainingError when there is no such adapter, or `out` is there already.
    """
    from polylm_core.training.adapter_export import merge  # torch costs seconds

    known = adapters_of(chat)
    if phase not in known:
        raise TrainingError(
            f"{chat} has no adapter {phase!r}; it has {', '.join(known) or 'none at all'}"
        )
    if out.exists():
        raise TrainingError(f"{out} is there already; name a folder that is not")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    certificate = merge(chat, chat / ADAPTERS / phase, partial)
    partial.rename(out)
    differences = {row.language: row.logit_difference for row in certificate.languages}
    return {
        "folder": str(out),
        "architecture": certificate.architecture,
        "parameters": certificate.parameters,
        "differences_from_model_and_adapter": [
            {"language": language, "largest_of_a_logit": difference}
            for language, difference in differences.items()
        ],
    }
