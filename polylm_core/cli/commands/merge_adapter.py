"""`polylm merge-adapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.output import AsJson, show


def merge_adapter(
    chat: Annotated[Path, typer.Argument(help="A chat model's folder, such as data/08_chat.")],
    phase: Annotated[str, typer.Argument(help="The phase of finetune that made the adapter.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the merged model.")],
    json: AsJson = False,
) -> None:
    """Write a chat model and one of its adapters as one model, and hold it against the two."""
    from polylm_core.cli import merge
    from polylm_core.cli.whole import whole

    show(merge.merged(whole(Path(), chat), phase, out), as_json=json)
