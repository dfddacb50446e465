"""Fill in what a file of `infra/` leaves to its reader: `${NAME}` becomes NAME's value.

`python -m infra.fill infra/ray/aws.yaml > cluster.yaml` takes the values from the environment. Only
capitals in braces are filled in: `$NAME` without braces is a shell's, on another machine.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from polylm_core.errors import MachineError, PolyLMError

PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


def places(text: str) -> list[str]:
    """Return the names that a text leaves open, each once, in order."""
    return list(dict.fromkeys(PLACE.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its places filled in.

    Raises MachineError naming every place without a value, or with one that holds a line break or
    a quotation mark, which would be read as more than a value.
    """
    absent = [name for name in places(text) if not values.get(name)]
    if absent:
        raise MachineError(f"without a value: {', '.join(absent)}; export each of them first")
    odd = [name for name in places(text) if set(values[name]) & set("\n\r\"'")]
    if odd:
        raise MachineError(
            f"{', '.join(odd)}: the value has a line break or a quotation mark; export it without"
        )
    return PLACE.sub(lambda place: values[place[1]], text)


def main(arguments: list[str]) -> int:
    """Print the named file with its places filled in; return the exit status."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print("usage: python -m infra.fill FILE", file=sys.stderr)
        return 2
    try:
        print(filled(Path(arguments[0]).read_text(encoding="utf-8"), os.environ), end="")
    except PolyLMError as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
