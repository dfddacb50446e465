"""The commands of `polylm`, run from the root of a checkout.

Exit status: 0 done; 1 a problem, told on standard error with its mend; 2 a command line that is not
understood; 130 interrupted.

Help and completion are to answer at once, so nothing here or in `commands/` imports what loads a
recipe, let alone torch: a command imports what it does when it runs.
"""

from __future__ import annotations

import sys

import typer

from polylm_core.cli.commands import about, calibrate, doctor, merge_adapter, plan, report, trace
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
app.command()(merge_adapter.merge_adapter)
app.command()(about.params)
app.command()(calibrate.calibrate)
app.command()(calibrate.fineweb2)
app.command()(report.report)
app.add_typer(trace.app, name="trace")


def main() -> None:
    """Run a command; a user's mistake ends it with one line, not with a traceback."""
    try:
        app()
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
