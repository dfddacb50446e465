"""`polylm recipes`."""

from __future__ import annotations

from typing import Annotated

import typer

from polylm_core.cli.checkout import PARAMS, RECIPES, checkout, complete_recipe, recipe_file
from polylm_core.cli.output import AsJson, show

app = typer.Typer(
    help="The recipes there are, how two of them differ, and which one is used.",
    no_args_is_help=True,
)
Recipe = Annotated[
    str,
    typer.Argument(
        help="A recipe: its file, or its name in recipes/.", autocompletion=complete_recipe
    ),
]


@app.command(name="list")
def listed(json: AsJson = False) -> None:
    """Print the recipe in use and those in recipes/, a line each."""
    from polylm_core.cli import recipes

    show({"recipes": recipes.listed(checkout(), RECIPES)}, as_json=json)


@app.command(name="show")
def shown(recipe: Recipe) -> None:
    """Print a recipe as it is written."""
    from polylm_core.cli import recipes

    print(recipes.text(recipe_file(recipe)), end="")


@app.command()
def diff(a: Recipe, b: Recipe = str(PARAMS), json: AsJson = False) -> None:
    """Print each value in which two recipes differ; the second is the one in use if left out."""
    from polylm_core.cli import recipes

    found = recipes.difference(recipe_file(a), recipe_file(b))
    show({"differences": found, "number": len(found)}, as_json=json)


@app.command()
def use(
    recipe: Recipe,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where params.yaml has changes in no commit.")
    ] = False,
) -> None:
    """Put a recipe in the place of params.yaml."""
    from polylm_core.cli import recipes

    print(recipes.use(checkout(), recipe_file(recipe), replace=replace))
