"""Known vulnerabilities of the installed packages, by pip-audit: `python -m infra.audit`.

Ends with 1 and a line for each where there are some. Where pip-audit or its service cannot be
asked, one sentence says so, and nothing is refused: `polylm_core/safety.py` knows the worst without
asking.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

SECONDS = 300


def asked() -> tuple[Mapping[str, Any] | None, str]:
    """Return pip-audit's findings, or none and why it could not be asked."""
    if find_spec("pip_audit") is None:
        return None, "pip-audit is not installed (make install)"
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS} s"
    try:
        found: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None, (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return found, ""


def vulnerabilities(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each vulnerability, with the version that mends it."""
    for package in found["dependencies"]:
        for hole in package.get("vulns", ()):
            mend = ", ".join(hole["fix_versions"])
            yield (
                f"{package['name']} {package['version']}: {hole['id']}; "
                + (f"install {mend}, and pin it in constraints.txt" if mend else "no mend is known")
            )


def main() -> int:
    """Ask, and tell; return the exit status."""
    found, why = asked()
    if found is None:
        print(f"packages were not looked up for vulnerabilities: {why}")
        return 0
    lines = list(vulnerabilities(found))
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    if not lines:
        print(f"{len(found['dependencies'])} packages without known vulnerabilities")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
