"""`polylm calibrate` and `polylm fineweb2`: settings of a language as text to paste."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from polylm_core.cli.checkout import PARAMS, checkout
from polylm_core.cli.output import AsJson, show


def calibrate(
    language: Annotated[str, typer.Argument(help="FLORES-200 code, such as khm_Khmr.")],
    files: Annotated[
        list[Path],
        typer.Argument(help="Trusted text: .txt, .jsonl (also .gz, .xz, .zst) or .parquet."),
    ],
    budget: Annotated[
        float, typer.Option(help="Share of good documents that may be rejected, at most 0.5.")
    ] = 0.01,
    whole_files: Annotated[
        bool,
        typer.Option("--whole-files", help="A text file is one document; else empty lines end one"),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A new file for the settings.")] = None,
    format: Annotated[
        Literal["params", "fineweb2"],
        typer.Option(help="A part of params.yaml, or a file of FineWeb-2."),
    ] = "params",
    classifier: Annotated[
        Path | None, typer.Option(help="The file of the recipe's curate.identify.model.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Derive the settings of a language from trusted text, and say what they reject of it."""
    from polylm_core.cli import calibration
    from polylm_core.params import load_params

    recipe = load_params(checkout() / PARAMS)
    calibration.require_new(out)
    identifier = calibration.identifier_of(recipe.curate, classifier)
    found = calibration.calibrate_files(
        language, files, recipe.curate, identifier, budget=budget, whole_files=whole_files
    )
    settings = calibration.settings_text(found, format)
    if json:
        show({**calibration.content(found), "settings": settings}, as_json=True)
    else:
        # Settings that are printed can be sent into a file without the table.
        print("\n".join(calibration.table(found)), file=sys.stderr if out is None else sys.stdout)
    calibration.write(settings, out, is_told=json)


def fineweb2(
    files: Annotated[list[Path], typer.Argument(help="Files of FineWeb-2, such as khm_Khmr.yml.")],
) -> None:
    """Print the part of params.yaml that has the settings of FineWeb-2's files."""
    from polylm_core.cli import calibration

    print(calibration.fineweb2_text(files), end="")
