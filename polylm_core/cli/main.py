"""The commands of `polylm`, run from the root of a checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from polylm_core.cli import (
    calibration,
    dry_run,
    judgements,
    machine,
    merge,
    reference,
    summary,
    trace,
)
from polylm_core.errors import MachineError, PolyLMError
from polylm_core.params import load_params
from polylm_core.pipeline import SOURCES, check_sources, require_sources, sources_fingerprint
from polylm_core.settings import load_profile
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedFolder,
    unpinned_problem,
)
from polylm_core.teachers.places import require_place
from polylm_core.translators.places import require_translator

PARAMS = Path("params.yaml")
PROFILES = Path("infra/profiles")
SHOWN_PACKAGES = ("torch", "deepspeed", "ray", "prefect", "fastapi", "dvc", "transformers")

app = typer.Typer(
    help="From raw multilingual text to an evaluated chat model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


tracing = typer.Typer(
    help="Which documents a step of pretraining saw, and which steps saw a document.",
    no_args_is_help=True,
)
app.add_typer(tracing, name="trace")


@app.command(name="summary")
def summary_command() -> None:
    """Print what each stage took, and where the report, the model and the Prefect UI are."""
    root = _checkout()
    print("\n".join([*summary.table(summary.rows(root)), "", *summary.places(root)]))


@app.command()
def doctor() -> None:
    """Check the machine, the recipe, the profile and the sources; exit with 1 on a problem."""
    root = _checkout()
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} CPU cores")
    for package in SHOWN_PACKAGES:
        print(f"{package} {_version(package)}")
    print(f"Prefect UI {summary.prefect_ui(root)}")
    problems = [problem for check in machine.BEFORE_RUN if (problem := check()) is not None]
    problems += _recipe_problems(root)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    print("nothing is missing")


@app.command(name="dry-run")
def dry_run_command(
    recipe: Annotated[Path, typer.Option(help="A recipe, such as recipes/polylm-13b.yaml.")] = (
        PARAMS
    ),
    profile: Annotated[
        Path | None, typer.Option(help="A profile, such as infra/profiles/a100-32x8.yaml.")
    ] = None,
) -> None:
    """Print what pretraining a recipe would be: sizes, steps, shares and bytes of each rank."""
    print("\n".join(dry_run.lines(recipe, PROFILES, profile)))


@app.command(name="merge-adapter")
def merge_adapter(
    chat: Annotated[Path, typer.Argument(help="A chat model's folder, such as data/08_chat.")],
    phase: Annotated[str, typer.Argument(help="The phase of finetune that made the adapter.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the merged model.")],
) -> None:
    """Write a chat model and one of its adapters as one model, and hold it against the two."""
    print("\n".join(merge.merged(chat, phase, out)))


@app.command(name="judgements")
def judgements_command(
    folder: Annotated[Path, typer.Argument(help="A folder of judgement files, or one file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the mean ratings of raw judgement files such as TaCo's, by file and category."""
    print(judgements.as_json(folder) if as_json else "\n".join(judgements.lines(folder)))


@app.command()
def params() -> None:
    """Print the reference of params.yaml as Markdown."""
    print(reference.markdown(), end="")


@app.command()
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
) -> None:
    """Derive the settings of a language from trusted text, and say what they reject of it."""
    recipe = load_params(_checkout() / PARAMS)
    calibration.require_new(out)
    identifier = calibration.identifier_of(recipe.curate, classifier)
    found = calibration.calibrate_files(
        language, files, recipe.curate, identifier, budget=budget, whole_files=whole_files
    )
    # Settings that are printed can be sent into a file without the table.
    print("\n".join(calibration.table(found)), file=sys.stderr if out is None else sys.stdout)
    calibration.write(calibration.settings_text(found, format), out)


@app.command()
def fineweb2(
    files: Annotated[list[Path], typer.Argument(help="Files of FineWeb-2, such as khm_Khmr.yml.")],
) -> None:
    """Print the part of params.yaml that has the settings of FineWeb-2's files."""
    print(calibration.fineweb2_text(files), end="")


@tracing.command(name="step")
def trace_step(
    step: Annotated[int, typer.Argument(help="Number of the step, from 1 as in the curves.")],
) -> None:
    """Print the documents of a step with their languages and sources, row by row."""
    root = _checkout()
    print("\n".join(trace.step_lines(root, load_params(root / PARAMS), step)))


@tracing.command(name="document")
def trace_document(
    document: Annotated[str, typer.Argument(help="Its id, such as udhr/deu_Latn/b02c9f.")],
) -> None:
    """Print the steps that saw a document."""
    root = _checkout()
    print("\n".join(trace.document_lines(root, load_params(root / PARAMS), document)))


def _recipe_problems(root: Path) -> list[str]:
    """What is wrong with recipe, profile and sources; the last can only be told with the others."""
    problems: list[str] = []

    def tried(load: Callable[[], Any]) -> Any:
        try:
            return load()
        except PolyLMError as error:
            problems.append(str(error))
        return None

    recipe = tried(lambda: load_params(root / PARAMS))
    profile = tried(lambda: load_profile(root / PROFILES))
    if recipe is None or profile is None:
        tried(lambda: require_sources(root / SOURCES))
    else:
        tried(lambda: check_sources(root / SOURCES, recipe, profile.source_locations))
        tried(lambda: sources_fingerprint(root / SOURCES, recipe, profile.source_locations))
        written = recipe.instruct.self_instruct
        if written is not None:
            tried(lambda: require_place(written.teacher, profile))
        translate = recipe.instruct.translate
        if translate is not None:
            tried(lambda: require_translator(translate.translator, profile))
        base = recipe.pretrain
        if isinstance(base, ImportedBaseConfig) and isinstance(base.imported, ImportedFolder):
            unpinned = unpinned_problem(base.imported)
            problems += [] if unpinned is None else [f"pretrain.imported.sha256: {unpinned}"]
    return problems


def _checkout() -> Path:
    root = Path()
    if not (root / PARAMS).is_file():
        raise MachineError(
            f"no {PARAMS} in {Path.cwd()}: run polylm in the root of a PolyLM checkout"
        )
    return root


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed: make install"


def main() -> None:
    """Run a command; a user's mistake ends it with one line, not with a traceback."""
    try:
        app()
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
