"""What a command answers, as tables for people or as JSON for programs.

A command returns its answer as content that JSON can hold and calls `show`. For people a list of
rows becomes a table, a mapping a block of two columns, anything else a line; the names of columns
carry the units (`bytes`, `seconds`, `share`, `usd`), from which the cells are written. With
`--json` standard output holds one JSON object and nothing else; progress, remarks and errors go to
standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]

WIDE_COLUMNS = 1000
"""Of text that no terminal shows: no cell is cut or wrapped in a file."""
_PLAIN_DIGITS = 1e15
"""Larger numbers are written with their power of ten."""


def show(content: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an answer on standard output.

    `content` maps names to lists of rows (mappings of the same keys), to mappings, or to values.
    """
    if as_json:
        json.dump(content, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
        sys.stdout.write("\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE_COLUMNS
    for number, (name, part) in enumerate(content.items()):
        if part is None or part == []:
            continue
        if isinstance(part, Mapping | list):
            if number:
                console.print()
            console.print(Text(_words(name), style="bold"))
            console.print(_table(part))
        else:
            console.print(Text(f"{_words(name)}: {cell(name, part)}"))


def _table(part: Mapping[str, Any] | Sequence[Any]) -> Any:
    """Return rows as a rich table; a mapping, or values that are no rows, without a head."""
    from rich.table import Table
    from rich.text import Text

    if isinstance(part, Mapping):
        return _grid([(_words(name), cell(name, value)) for name, value in part.items()])
    if not isinstance(part[0], Mapping):
        return _grid([(cell("", value),) for value in part])
    names = list(dict.fromkeys(name for row in part for name in row))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        numbers = all(_is_number(row.get(name)) for row in part)
        table.add_column(_words(name), justify="right" if numbers else "left", overflow="fold")
    for row in part:
        table.add_row(*(Text(cell(name, row.get(name))) for name in names))
    return table


def _grid(rows: Iterable[Sequence[str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def cell(name: str, value: Any) -> str:
    """Return a value as people read it, by the unit at the end of its name."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(name, each) for each in value)
    if not _is_number(value):
        return str(value)
    unit = name.rpartition("_")[2]
    if unit in _BY_UNIT:
        return _BY_UNIT[unit](value)
    if abs(value) >= _PLAIN_DIGITS:
        return f"{value:.3e}"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return seconds as people read them: `8.3 s`, `4 min 05 s`, `2 h 03 min`, `24.7 days`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{seconds / 86400:,.1f} days"


def size(count: float) -> str:
    """Return bytes as people read them: `812 B`, `3.4 MB`, `12.10 GB`."""
    if abs(count) < 1000:
        return f"{count:.0f} B"
    for limit, unit, digits in ((1e6, "kB", 1), (1e9, "MB", 1), (1e12, "GB", 2)):
        if abs(count) < limit:
            return f"{count / limit * 1000:,.{digits}f} {unit}"
    return f"{count / 1e12:,.2f} TB"


_BY_UNIT: Mapping[str, Callable[[float], str]] = {
    "bytes": size,
    "seconds": duration,
    "share": lambda value: f"{100 * value:.2f} %",
    "usd": lambda value: f"${value:,.2f}",
}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
