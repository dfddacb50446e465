"""What a reader of one format works with: the declaration, and where to put what it finds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from polylm_core.languages import ENGLISH, UNDETERMINED
from polylm_core.lines import BrokenFileError, Decompressed
from polylm_core.records import Document, Pair
from polylm_core.remote import InputFile, InputStream
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.config import PairSource
from polylm_core.stages.ingest.skipped import Skips

IDENTICAL = "identical-sides"
EMPTY_SIDE = "empty-side"


@dataclass(slots=True)
class Job:
    """One unit of work under way."""

    source: str
    license: str
    languages: frozenset[str]
    """The recipe's: documents that claim another language are passed over."""
    scratch: Path
    """Where a remote file that must be read here and there is put for a while."""
    skips: Skips
    pair_drops: Counter[str] = field(default_factory=Counter)
    sha256s: dict[str, str] = field(default_factory=dict)
    """What was read, by file name."""

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Decompressed]:
        """Give the plain bytes of a file, and check its sha256 at the end, read well or not."""
        with InputStream(file) as stream:
            try:
                yield Decompressed(stream, file.name)
            except BrokenFileError:
                self.sha256s[file.name] = stream.finish()
                raise
            self.sha256s[file.name] = stream.finish()

    def document(
        self,
        file: InputFile,
        position: int,
        text: str,
        *,
        key: str | None = None,
        language: str | None = None,
        url: str | None = None,
    ) -> Iterator[Document]:
        """Yield a document, unless there is nothing in it or it is in a language not asked for.

        Without a key of the source's own, the sha256 of the text is the key.
        """
        if not text or text.isspace():
            self.skips.add(file.name, position, skipped.EMPTY)
        elif language and language not in self.languages:
            self.skips.add(file.name, position, skipped.OTHER_LANGUAGE, f"{language}: {text[:300]}")
        else:
            yield Document(
                id=f"{self.source}/{language or UNDETERMINED}/{key or key_of(text)}",
                text=text,
                language=language or "",
                source=self.source,
                license=self.license,
                url=url or "",
            )

    def pair(self, declared: PairSource, sides: tuple[str, str]) -> Iterator[Pair]:
        """Yield a pair, English first; one with an empty side or equal sides is counted instead."""
        english, other = sides if declared.languages[0] == ENGLISH else (sides[1], sides[0])
        english, other = english.strip(), other.strip()
        if not english or not other:
            self.pair_drops[EMPTY_SIDE] += 1
        elif english == other:
            self.pair_drops[IDENTICAL] += 1
        else:
            key = key_of(f"{english}\t{other}")
            yield Pair(
                id=f"{self.source}/{ENGLISH}-{declared.other}/{key}#1",
                language_a=ENGLISH,
                text_a=english,
                language_b=declared.other,
                text_b=other,
                source=self.source,
                license=self.license,
            )


def key_of(text: str) -> str:
    """Return the key of a text without one: the first half of its sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
