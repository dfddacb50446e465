"""`polylm judgements`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.output import AsJson, show


def judgements(
    folder: Annotated[Path, typer.Argument(help="A folder of judgement files, or one file.")],
    json: AsJson = False,
) -> None:
    """Print the mean ratings of raw judgement files such as TaCo's, by file and category."""
    from polylm_core.cli import judgements

    show(judgements.content(folder, digits=None if json else 2), as_json=json)
