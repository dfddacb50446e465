"""`polylm trace step` and `polylm trace document`."""

from __future__ import annotations

from typing import Annotated

import typer

from polylm_core.cli.checkout import PARAMS, checkout
from polylm_core.cli.output import AsJson, show

app = typer.Typer(
    help="Which documents a step of pretraining saw, and which steps saw a document.",
    no_args_is_help=True,
)


@app.command()
def step(
    step: Annotated[int, typer.Argument(help="Number of the step, from 1 as in the curves.")],
    json: AsJson = False,
) -> None:
    """Print the documents of a step with their languages and sources, row by row."""
    from polylm_core.cli import trace
    from polylm_core.params import load_params

    root = checkout()
    show(trace.of_step(root, load_params(root / PARAMS), step), as_json=json)


@app.command()
def document(
    document: Annotated[str, typer.Argument(help="Its id, such as udhr/deu_Latn/b02c9f.")],
    json: AsJson = False,
) -> None:
    """Print the steps that saw a document."""
    from polylm_core.cli import trace
    from polylm_core.params import load_params

    root = checkout()
    show(trace.of_document(root, load_params(root / PARAMS), document), as_json=json)
