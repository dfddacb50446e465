"""`polylm doctor`."""

from __future__ import annotations

import sys

import typer

from polylm_core.cli.checkout import checkout
from polylm_core.cli.output import AsJson, show


def doctor(json: AsJson = False) -> None:
    """Check the machine, the recipe, the profile and the sources; exit with 1 on a problem."""
    from polylm_core.cli import doctor as checks

    content, problems = checks.examined(checkout())
    show({**content, "problems": problems}, as_json=True) if json else show(content, as_json=False)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    if not json:
        print("nothing is missing")
