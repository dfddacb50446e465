"""`polylm explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from polylm_core.cli.checkout import checkout, complete_stage
from polylm_core.cli.output import AsJson, show


def explain(
    stage: Annotated[
        str, typer.Argument(help="A stage of dvc.yaml.", autocompletion=complete_stage)
    ],
    json: AsJson = False,
) -> None:
    """Print why a stage would run again: what changed, from what to what, since which commit."""
    from polylm_core.cli import explain as explained

    show(explained.answer(checkout(), stage), as_json=json)
