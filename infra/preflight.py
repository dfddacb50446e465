"""Whether this machine can do what starts: `python3 -m infra.preflight install|run|ports`.

Called by the Makefile with the system's Python before anything long starts; prints one line and
exits with 1 when something is missing. Standard library only.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from polylm_core.cli import machine


def prefect_port() -> str | None:
    """Whether the port of this checkout's Prefect server is free, or held by that server."""
    # Only under a Python that has passed the version check: older ones cannot import it.
    server = importlib.import_module("flows._server")
    errors = importlib.import_module("polylm_core.errors")
    try:
        server.check_port(Path())
    except errors.MachineError as error:
        return str(error)
    return None


CHECKS = {
    "install": (*machine.BEFORE_INSTALL, prefect_port),
    "run": (*machine.BEFORE_RUN, prefect_port),
    "ports": (prefect_port,),
}


def main(arguments: list[str]) -> int:
    """Run the checks of a step; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        print("usage: python3 -m infra.preflight install|run|ports", file=sys.stderr)
        return 2
    problem = machine.first_problem(CHECKS[arguments[0]])
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
