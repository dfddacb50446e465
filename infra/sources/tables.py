"""The aligned table: rows in memory, one compressed text file a language on disk.

Line i of every file of a source is the same paragraph; an empty line means "not translated".
`keys.txt.xz` names each line: document, tab, unit. Lines of one document are consecutive.
"""

import hashlib
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.sources.errors import SourcesError
from infra.sources.languages import PIVOT
from infra.sources.text import is_untranslated

KEYS = "keys"


@dataclass(frozen=True)
class Row:
    """One paragraph in all its languages; a missing language is absent from `texts`."""

    document: str
    unit: str
    texts: Mapping[str, str]


def aligned(document: str, unit: str, texts: Mapping[str, str]) -> Row:
    """A row without empty texts and without "translations" that repeat the English."""
    english = texts[PIVOT]
    kept = {
        language: text
        for language, text in texts.items()
        if text and (language == PIVOT or not is_untranslated(text, english))
    }
    return Row(document, unit, kept)


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Rows whose English text is not empty and was not seen before."""
    seen: set[str] = set()
    kept = []
    for row in rows:
        english = row.texts.get(PIVOT, "")
        if english and english not in seen:
            seen.add(english)
            kept.append(row)
    return kept


def columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """File name without suffix -> its lines; the keys first, then the languages in order."""
    languages = sorted({language for row in rows for language in row.texts})
    result = {KEYS: [f"{row.document}\t{row.unit}" for row in rows]}
    for language in languages:
        result[language] = [row.texts.get(language, "") for row in rows]
    return result


def compress(lines: Sequence[str]) -> bytes:
    """The same lines always give the same bytes (for one version of liblzma)."""
    raw = "".join(f"{line}\n" for line in lines).encode()
    return lzma.compress(raw, check=lzma.CHECK_CRC64, preset=9 | lzma.PRESET_EXTREME)


def write_columns(lines_by_name: Mapping[str, Sequence[str]], folder: Path) -> dict[str, object]:
    """Write `NAME.txt.xz` for each column; returns what source.yaml records of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.txt.xz"):
        stale.unlink()
    recorded: dict[str, object] = {}
    for name, lines in lines_by_name.items():
        payload = compress(lines)
        (folder / f"{name}.txt.xz").write_bytes(payload)
        recorded[f"{name}.txt.xz"] = {
            "sha256": hashlib.sha256(payload).hexdigest(),
            "lines": len(lines),
            "texts": sum(1 for line in lines if line),
        }
    return recorded


def read_lines(path: Path) -> list[str]:
    """Raises SourcesError when the file is not a readable column."""
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise SourcesError(f"{path}: cannot be read: {error}") from error
    return text.split("\n")[:-1]
