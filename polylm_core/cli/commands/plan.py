"""`polylm plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from polylm_core.cli.checkout import (
    PARAMS,
    PROFILES,
    complete_profile,
    complete_recipe,
    recipe_file,
)
from polylm_core.cli.output import AsJson, show

Recipe = Annotated[
    str,
    typer.Argument(
        help="A recipe: its file, or its name in recipes/.", autocompletion=complete_recipe
    ),
]
NamedProfile = Annotated[
    str | None,
    typer.Option(
        help="A profile: its name in infra/profiles/, or its file. By default the one that "
        "POLYLM_PROFILE names.",
        autocompletion=complete_profile,
    ),
]
OwnPrices = Annotated[
    Path | None, typer.Option(help="Your table of prices, in the form of the shipped one.")
]
Budget = Annotated[
    float | None, typer.Option(help="Exit with 1 where the run would cost more.", min=0)
]
RankSpeed = Annotated[
    float | None, typer.Option(help="Speed of one rank, where it is known.", min=0.001)
]
Seconds = Annotated[
    float | None,
    typer.Option(help="Measure the speed of a rank: train the model here for so long.", min=0),
]


def plan(
    recipe: Recipe = str(PARAMS),
    profile: NamedProfile = None,
    prices: OwnPrices = None,
    max_usd: Budget = None,
    tokens_per_second: RankSpeed = None,
    calibrate_seconds: Seconds = None,
    json: AsJson = False,
) -> None:
    """Print what a recipe takes on a profile: tokens, steps, hours, bytes of a rank, disk, money.

    Exits with 1 where recipe and profile do not fit together, an accelerator's memory does not
    suffice or a budget does not. A fine-tuning after a pretraining may need a profile of its own:
    that is told among the problems.
    """
    from polylm_core.cli.planning import answer, request
    from polylm_core.cli.planning.prices import load_prices
    from polylm_core.errors import ParamsError

    asked = request.load_request(recipe_file(recipe), PROFILES, profile)
    measured = None
    if calibrate_seconds is not None:
        from polylm_core.cli.planning.calibration import measured_speed

        print(f"training the model for {calibrate_seconds:g} seconds", file=sys.stderr)
        measured = measured_speed(asked, calibrate_seconds)
    known = answer.Known(tokens_per_second=tokens_per_second, measured=measured, max_usd=max_usd)
    content, refused = answer.answer(asked, load_prices(prices), known)
    show(content, as_json=json)
    if refused:
        raise ParamsError(f"the plan of {recipe}", refused)
