"""`polylm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.checkout import checkout
from polylm_core.cli.output import AsJson, show


def report(
    out: Annotated[Path, typer.Argument(help="The page to write, such as page.html.")],
    against: Annotated[
        Path | None,
        typer.Option(help="Another run to hold this one against: its checkout, or its data/."),
    ] = None,
    with_timings: Annotated[
        bool,
        typer.Option("--with-timings", help="Add commits, times and speed, from runs/."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the report of this run as a page of its own: with its times, or beside another run."""
    from polylm_core.cli import report as pages

    root = checkout()
    show(pages.written(root, out, against=against, with_timings=with_timings), as_json=json)
