"""`polylm publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.checkout import checkout
from polylm_core.cli.output import AsJson, show


def publish(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face hub.")],
    model: Annotated[Path, typer.Option(help="The chat model's folder.")] = Path("data/08_chat"),
    private: Annotated[bool, typer.Option("--private", help="Only you can see it.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send it; without, say what would be.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Send a model with tokenizer and cards to the Hugging Face hub.

    Refused without a parity certificate and with unknown licences.
    """
    from polylm_core.cli import publish as releases

    release = releases.release_of(repository, model, checkout())
    url = releases.send(release, private=private) if yes else None
    show(releases.content(release, url), as_json=json)
