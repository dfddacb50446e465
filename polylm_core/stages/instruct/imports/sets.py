"""All imported sets: found (or all that are missing named), read in parallel, counted.

In: the declarations, and the files that pin their sha256 or version. Out: instructions whose ids
lead to their rows, and for each set how many items it has beside how many it was published with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from polylm_core.errors import SourceError
from polylm_core.records import Instruction
from polylm_core.remote import InputFile, below, fetch_once, is_remote, verified
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.imports import columns as by_row
from polylm_core.stages.instruct.imports import places, rows, trees
from polylm_core.stages.instruct.imports.config import (
    ChatSet,
    ColumnSet,
    ImportedSet,
    Imports,
    TreeSet,
    plain_name,
)
from polylm_core.stages.instruct.imports.reading import (
    BROKEN,
    Columns,
    Conversation,
    Found,
    Left,
    never_seen,
)
from polylm_core.stages.instruct.selection import KEPT, Harvest, fits, in_drawn_order

REPEATED_ID = "repeated-id"
BROKEN_ROWS = {
    *BROKEN,
    rows.BAD_JSON,
    rows.NOT_AN_OBJECT,
    rows.TOO_LONG,
    rows.NOT_UTF8,
    rows.WRONG_COLUMNS,
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One set, its files on this machine."""

    name: str
    declared: ImportedSet
    files: tuple[tuple[str, Path], ...]
    """Name as declared, and where it lies."""
    max_bytes: int
    """Longest chat."""
    seed: int


@dataclass
class Imported:
    """What came of a set."""

    name: str
    harvest: Harvest = field(default_factory=Harvest)
    num_items: int = 0
    """What the publisher would have counted."""


def locate(imports: Imports, sources: Path, run: StageRun, max_bytes: int) -> list[Unit]:
    """Find and verify the files of every set, fetched where they are elsewhere.

    Raises SourceError that names every set that is missing or another than declared, and how each
    is fetched.
    """
    units, problems = [], []
    num_files = sum(len(declared.files) for declared in imports.values())
    with run.progress.track("imported sets", num_files, "files") as tracker:
        for name, declared in sorted(imports.items()):
            location = places.location_of(name, declared, sources, run.source_locations)
            missing = places.count_missing(declared, location)
            try:
                if missing:
                    raise SourceError(missing)
                files = []
                for file in sorted(declared.files):
                    files.append((file, _verified(name, declared, location, file, run.work)))
                    tracker.advance()
            except SourceError as error:
                problems.append(places.describe_missing(name, declared, location, str(error)))
                continue
            units.append(Unit(name, declared, tuple(files), max_bytes, run.seed))
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise SourceError(
            f"{len(problems)} of {len(imports)} sets of `instruct.imports` cannot be used:{listed}"
        )
    return units


def _verified(name: str, declared: ImportedSet, location: str, file: str, work: Path) -> Path:
    source = InputFile(file, below(location, file), declared.files[file])
    target = work / "imports" / name / file
    return fetch_once(source, target) if is_remote(location) else verified(source)


def read_set(unit: Unit) -> Imported:
    """Read one set; raises SourceError for one with too many broken rows or a wrong column."""
    made, columns = Imported(unit.name), Columns()
    taken: dict[str, Instruction] = {}
    funnel, broken = made.harvest.funnel, Counter[str]()
    num_rows = 0
    for found in _found(unit, columns):
        num_rows += found.amount if isinstance(found, Left) else 1
        if isinstance(found, Left):
            funnel.count(unit.name, found.language, found.reason, found.amount)
            if found.reason in BROKEN_ROWS:
                broken[found.reason] += found.amount
            made.num_items += found.amount * found.is_item
            continue
        made.num_items += 1
        row = _instruction(unit, found)
        if row.id in taken:
            funnel.count(unit.name, row.language, REPEATED_ID)
        elif not fits(row, unit.max_bytes):
            funnel.count(unit.name, row.language, "too-long")
        else:
            taken[row.id] = row
    _require_sound(unit, columns, broken, num_rows)
    _draw(unit, taken, made)
    return made


def _found(unit: Unit, columns: Columns) -> Iterator[Found]:
    declared = unit.declared
    read: Mapping[type[ImportedSet], Callable[..., Iterator[Found]]] = {
        ColumnSet: by_row.tasks,
        ChatSet: by_row.chats,
        TreeSet: trees.conversations,
    }
    bad: list[Left] = []
    yield from read[type(declared)](_numbered(unit, bad), declared, columns)
    yield from bad


def _numbered(unit: Unit, bad: list[Left]) -> Iterator[tuple[str, str, rows.Row]]:
    """File, key and content of each row that can be read; the others go to `bad`."""
    reasons: Counter[str] = Counter()
    for file, path in unit.files:
        stem = f"{plain_name(file)}/" if len(unit.files) > 1 else ""
        for number, row in rows.iter_rows(path, file):
            if isinstance(row, str):
                reasons[row] += 1
            else:
                yield file, f"{stem}{number:07d}", row
    bad += [Left(reason, amount=amount) for reason, amount in sorted(reasons.items())]


def _instruction(unit: Unit, found: Conversation) -> Instruction:
    return Instruction(
        id=f"{unit.name}/{found.key}",
        language=found.language,
        prompt_language=found.prompt_language,
        origin=unit.name,
        license=unit.declared.license,
        messages=found.messages,
    )


def _require_sound(unit: Unit, columns: Columns, broken: Counter[str], num_rows: int) -> None:
    """Raise SourceError for names of columns that no row has, and for too many broken rows."""
    where = ", ".join(str(path) for _, path in islice(unit.files, 3))
    most = unit.declared.max_broken_share * max(1, num_rows)
    if broken.total() > most:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in broken.most_common())
        raise SourceError(
            f"{where}: {broken.total():,} of {num_rows:,} rows are broken ({reasons}), "
            f"{int(most):,} may be; correct the form of `instruct.imports.{unit.name}`, fetch the "
            "set again, or raise its `max_broken_share`"
        )
    absent = never_seen(_column_names(unit.declared), columns)
    if absent:
        raise SourceError(
            f"{where}: no row has the column {', '.join(absent)} that `instruct.imports."
            f"{unit.name}` names; correct the name, or make it null where there is none"
        )


def _column_names(declared: ImportedSet) -> Iterator[str]:
    """Names of columns that at least one row has to have."""
    yield from (each.column for each in declared.where)
    names: list[Any] = []
    if isinstance(declared, ColumnSet):
        names = [declared.instruction, declared.input, declared.output, declared.system]
    if isinstance(declared, ChatSet):
        names = [declared.conversations]
    if isinstance(declared, ColumnSet | ChatSet):
        names += [declared.id, declared.language_column]
    yield from filter(None, names)


def _draw(unit: Unit, taken: dict[str, Instruction], made: Imported) -> None:
    """Keep what the set may give, drawn by the seed, in the order of the ids."""
    chosen = list(taken.values())
    most = unit.declared.max_items
    if most is not None and len(chosen) > most:
        ordered = in_drawn_order(chosen, unit.seed, lambda row: row.id)
        for row in ordered[most:]:
            made.harvest.funnel.count(unit.name, row.language, "over-the-cap")
        chosen = ordered[:most]
    made.harvest.instructions += sorted(chosen, key=lambda row: row.id)
    for row in chosen:
        made.harvest.funnel.count(unit.name, row.language, KEPT)


def read_all(units: list[Unit], run: StageRun) -> tuple[Harvest, dict[str, dict[str, int]]]:
    """Read every set; the second is what each has beside what it was published with."""
    harvest, counts = Harvest(), {}
    with run.progress.track("imported sets", len(units), "sets") as tracker:
        for unit, part in zip(units, run.backend.map(read_set, units), strict=True):
            harvest.add(part.harvest)
            own = {"items": part.num_items}
            expected = unit.declared.expected_items
            if expected is not None:
                own["expected"] = expected
                if expected != part.num_items:
                    run.progress.say(
                        f"{unit.name}: {part.num_items:,} items, {expected:,} are expected "
                        f"({part.num_items - expected:+,})"
                    )
            counts[unit.name] = own
            tracker.advance()
    return harvest, counts
