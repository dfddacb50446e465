"""The commands of `polylm`, run from the root of a checkout.

Exit status: 0 done; 1 a problem, told on standard error with its mend; 2 a command line that is not
understood; 130 interrupted.

Help and completion are to answer at once, so nothing here or in `commands/` imports what loads a
recipe, let alone torch: a command imports what it does when it runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from polylm_core.cli.commands import (
    about,
    calibrate,
    chat,
    doctor,
    explain,
    gc,
    init,
    judgements,
    merge_adapter,
    plan,
    publish,
    recipes,
    report,
    trace,
)
from polylm_core.errors import PolyLMError

app = typer.Typer(
    help="From raw multilingual text to an evaluated chat model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(about.summary)
app.command()(doctor.doctor)
app.command()(plan.plan)
app.command()(explain.explain)
app.command()(judgements.judgements)
app.command()(merge_adapter.merge_adapter)
app.command()(about.params)
app.command()(calibrate.calibrate)
app.command()(calibrate.fineweb2)
app.command()(report.report)
app.add_typer(trace.app, name="trace")
app.add_typer(recipes.app, name="recipes")
app.command()(chat.chat)
app.command()(publish.publish)
app.command()(gc.gc)
app.command()(init.init)


def _hand_over() -> None:
    """Run the command of the checkout it is run in, where the installed one is another's.

    The projects that `polylm init` makes share an environment, and have code of their own.
    """
    own = Path("polylm_core/cli/main.py")
    if own.is_file() and not own.samefile(__file__):
        command = [sys.executable, "-m", "polylm_core.cli.main", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": str(Path.cwd())})


def main() -> None:
    """Run a command; a user's mistake ends it with one line, not with a traceback."""
    _hand_over()
    try:
        app(prog_name="polylm")
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
