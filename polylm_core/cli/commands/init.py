"""`polylm init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.output import AsJson, show


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, such as my-lm.")],
    text: Annotated[
        list[str],
        typer.Option(
            help="LANGUAGE=FILE, or =FOLDER of .txt files, such as swh_Latn=news.txt; once for "
            "each. A document is a block between empty lines, or a line."
        ),
    ],
    license: Annotated[str, typer.Option(help="Licence of the text, such as CC-BY-SA-4.0.")],
    pairs: Annotated[
        list[str] | None,
        typer.Option(help="LANGUAGE=FILE of lines with English, a tab and the translation."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a project folder for your own languages and text; `make run` there does the rest."""
    from polylm_core.cli import init as projects

    show(projects.made(folder, text, pairs or [], license), as_json=json)
