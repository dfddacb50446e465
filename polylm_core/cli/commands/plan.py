"""`polylm plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from polylm_core.cli.checkout import (
    PARAMS,
    PROFILES,
    complete_profile,
    complete_recipe,
    recipe_file,
)


def plan(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe: its file, or its name in recipes/.", autocompletion=complete_recipe
        ),
    ] = str(PARAMS),
    profile: Annotated[
        str | None,
        typer.Option(
            help="A profile: its name in infra/profiles/, or its file. "
            "By default the one that POLYLM_PROFILE names.",
            autocompletion=complete_profile,
        ),
    ] = None,
) -> None:
    """Print what training a recipe would be: sizes, steps, shares and bytes of each rank."""
    from polylm_core.cli import plan as plans

    print("\n".join(plans.lines(recipe_file(recipe), PROFILES, profile)))
