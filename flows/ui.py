"""Bring this checkout's Prefect server up and say where its UI is: `python -m flows.ui`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows import _server
from polylm_core.errors import MachineError
from polylm_core.safety import require_safe


def main() -> int:
    """Start the server if it is not running; return the exit status."""
    root = Path()
    _server.configure(root)
    try:
        require_safe(None, os.environ, uses_ray=False)
        url = _server.ensure(root)
    except MachineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Prefect UI  {url.removesuffix('/api')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
