"""The whole pipeline as one deployable Prefect flow: `python -m flows.pipeline [STAGE]`.

It runs `dvc repro` in a process group of its own and ends that group when the flow is cancelled or
fails, because DVC itself leaves its stage running when it is terminated. The graph is DVC's alone.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from flows import _server
from flows._conclusion import bound_teardown, leave
from flows._repro import ENDING, one_pipeline, reproduce
from polylm_core.errors import PolyLMError
from polylm_core.redaction import hide_from_output
from polylm_core.safety import require_safe


def main(arguments: list[str]) -> int:
    """Run the flow from the command line; return the exit status, which is that of the work."""
    target = arguments[0] if arguments else None
    hide_from_output()
    _server.configure(Path())
    ENDING.when_ended = lambda: bound_teardown(lambda: ENDING.code)
    try:
        require_safe(None, os.environ, uses_ray=False)  # of Ray each stage asks
        _server.ensure(Path())
        importlib.import_module("flows._parent").pipeline(target=target)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"warning: Prefect is not usable ({error})", file=sys.stderr)
        return ENDING.code if ENDING.begun else _unwatched(target)
    return ENDING.code


def _unwatched(target: str | None) -> int:
    """Do the work though Prefect failed before it began."""
    try:
        with one_pipeline(wait_seconds=0):
            reproduce(target, f"repro-{os.getpid()}", tell=lambda line: None)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
    return ENDING.code


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
