"""`polylm gc`."""

from __future__ import annotations

from typing import Annotated

import typer

from polylm_core.cli.checkout import checkout
from polylm_core.cli.output import AsJson, show


def gc(
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, say what would be.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Remove old work folders of runs/ and what nothing uses of DVC's cache and the store's copies.

    What teachers were paid for (runs/kept) and what a run is at work on stay.
    """
    from polylm_core.cli import gc as old

    show(old.collected(checkout(), remove=yes), as_json=json)
