"""The text that `polylm init` is given: which language, how much, and what a document of it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polylm_core.errors import ParamsError, Problem, UnknownLanguageError
from polylm_core.languages import ENGLISH, get_language

COMMAND = "polylm init"
MIN_BYTES = 20_000
"""Less text of a language than this leaves nothing to hold out and to learn from."""
MAX_BYTES = 100_000_000
"""Of all files together: what a project holds in its repository."""
MIN_DOCUMENTS = 40
"""Fewer documents than this are not what a document is: the held-out ones are drawn among them."""


@dataclass(frozen=True)
class OwnText:
    """The files of one language, as they were measured."""

    language: str
    files: tuple[Path, ...]
    document: Literal["file", "block", "line"]
    documents: int
    characters: int
    bytes: int

    @property
    def source(self) -> str:
        """Name of the source in the recipe, and of its folder."""
        return f"own-{self.language}"

    def described(self) -> dict[str, Any]:
        """What was found, as a row."""
        what = {"file": "file", "block": "block between empty lines", "line": "line"}
        return {
            "language": self.language,
            "files": len(self.files),
            "bytes": self.bytes,
            "documents": self.documents,
            "each a": what[self.document],
        }


@dataclass(frozen=True)
class OwnPairs:
    """A file of aligned sentences: English, a tab, the other language."""

    language: str
    file: Path
    pairs: int
    characters: int
    """Of both sides."""
    bytes: int

    @property
    def source(self) -> str:
        """Name of the source in the recipe, and of its folder."""
        return f"own-pairs-{self.language}"


def read_texts(given: Sequence[str]) -> list[OwnText]:
    """Measure `LANGUAGE=FILE` or `LANGUAGE=FOLDER` (its .txt files), by language.

    Raises ParamsError with everything that is wrong with any of them.
    """
    files, problems = _by_language(given)
    texts = []
    for language, paths in files.items():
        text, wrong = _measured(language, paths)
        problems += wrong
        texts += [] if text is None else [text]
    if not problems and {*files} <= {ENGLISH}:
        problems.append(Problem("text", "none in a language besides English; name one"))
    total = sum(text.bytes for text in texts)
    if total > MAX_BYTES:
        message = (
            f"more than the {MAX_BYTES:,} bytes that go into a repository; make the project with a "
            "part of it, then declare the rest where it lies (docs/howto/add-a-language.md)"
        )
        problems.append(Problem("text", message, total))
    if problems:
        raise ParamsError(COMMAND, problems)
    return texts


def read_pairs(given: Sequence[str]) -> list[OwnPairs]:
    """Measure `LANGUAGE=FILE` with English, a tab and the language in each line.

    Raises ParamsError with everything that is wrong with any of them.
    """
    files, problems = _by_language(given)
    found = []
    for language, paths in files.items():
        if len(paths) > 1 or language == ENGLISH:
            message = "one file of pairs a language, none of English with itself"
            problems.append(Problem(language, message))
            continue
        if not paths or not paths[0].is_file():
            continue  # told by language
        told = len(problems)
        content = _decoded(paths[0], problems)
        lines = [line for line in content.splitlines() if line.strip()]
        broken = [number for number, line in enumerate(lines, 1) if line.count("\t") != 1]
        if broken:
            message = f"{len(broken):,} lines are not English, one tab, {language}; the first"
            problems.append(Problem(str(paths[0]), message, f"line {broken[0]}"))
        if not lines and len(problems) == told:
            problems.append(Problem(str(paths[0]), "has no line with text"))
        size = paths[0].stat().st_size
        found.append(OwnPairs(language, paths[0], len(lines), sum(map(len, lines)), size))
    if problems:
        raise ParamsError(COMMAND, problems)
    return found


def _by_language(given: Iterable[str]) -> tuple[Mapping[str, list[Path]], list[Problem]]:
    files: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for word in given:
        language, _, name = word.partition("=")
        if not name:
            message = "is not LANGUAGE=FILE, such as swh_Latn=news.txt"
            problems.append(Problem("text", message, word))
            continue
        try:
            get_language(language)
        except UnknownLanguageError as error:
            problems.append(Problem("text", str(error), word))
            continue
        path = Path(name).expanduser()
        found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not found or not all(file.is_file() for file in found):
            message = "a folder without .txt files" if path.is_dir() else "there is no such file"
            problems.append(Problem("text", message, name))
        files[language] += found
    for language, paths in files.items():
        names = [path.name for path in paths]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            message = f"two files are called {', '.join(repeated)}; rename one of each"
            problems.append(Problem(language, message))
    return files, problems


def _measured(language: str, paths: Sequence[Path]) -> tuple[OwnText | None, list[Problem]]:
    problems: list[Problem] = []
    contents = [_decoded(path, problems) for path in paths if path.is_file()]
    if problems or not contents:
        return None, problems
    lines = sum(1 for content in contents for line in content.splitlines() if line.strip())
    blocks = sum(map(_count_blocks, contents))
    document: Literal["file", "block", "line"] = "line"
    documents = lines
    if len(contents) >= MIN_DOCUMENTS:
        document, documents = "file", len(contents)
    elif blocks >= MIN_DOCUMENTS:
        document, documents = "block", blocks
    characters = sum(map(len, contents))
    size = sum(len(content.encode()) for content in contents)
    if size < MIN_BYTES or documents < MIN_DOCUMENTS:
        message = (
            f"{size:,} bytes in {documents:,} documents are too little to hold some out and learn "
            f"from the rest; give at least {MIN_BYTES:,} bytes in {MIN_DOCUMENTS} lines, blocks "
            "between empty lines, or files"
        )
        problems.append(Problem(language, message))
    return OwnText(language, tuple(paths), document, documents, characters, size), problems


def _count_blocks(content: str) -> int:
    """Blocks between empty lines."""
    inside = [bool(line.strip()) for line in content.splitlines()]
    return sum(now and not before for before, now in zip([False, *inside], inside, strict=False))


def _decoded(path: Path, problems: list[Problem]) -> str:
    """Return the text of a file; adds a problem where it is not UTF-8 or cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 at byte {error.start:,}; convert it (iconv -f ... -t UTF-8)"
        problems.append(Problem(str(path), message))
    except OSError as error:
        problems.append(Problem(str(path), f"cannot be read: {error.strerror}"))
    return ""
