"""ARPA files: the text format of n-gram models, read and written.

A line is `log10 probability, n words, log10 backoff` (the last two orders of a file may leave the
backoff out). Read plain or gzipped; written so that KenLM, SRILM and IRSTLM read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from polylm_core.errors import SourceError
from polylm_core.lines import MAX_EXPANSION, BrokenFileError, Decompressed, iter_lines
from polylm_core.ngram_model.tables import UNKNOWN, NgramSet, Order

LEAST_BYTES = 4
"""Of a line with an n-gram: a number, a tab, a word, a line end."""
MAX_DIGITS = 18
_UNKNOWN_MISSING_LOG10 = -100.0
"""Of <unk> in a file without it, as KenLM has it."""


def read_arpa(path: Path) -> NgramSet:
    """The n-grams of an ARPA file.

    Raises SourceError, with the line, when it is not one, is cut short or holds other than it says.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            size = path.stat().st_size * (MAX_EXPANSION if packed else 1)
            lines = iter_lines(Decompressed(raw, "arpa.gz" if packed else "arpa"))
            return _Reader(path, lines, size // LEAST_BYTES).read()
    except BrokenFileError as error:
        raise SourceError(f"{path}: damaged gzip data ({error}); fetch the file again") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


class _Reader:
    def __init__(self, path: Path, lines: Iterable[bytes | None], most: int) -> None:
        self.path = path
        self.most = most
        """N-grams of one length that the file has room for."""
        self.lines = enumerate(lines, start=1)
        self.number = 0

    def read(self) -> NgramSet:
        counts = self._counts()
        words, first = self._unigrams(counts[0])
        index = {word: number for number, word in enumerate(words)}
        orders = [first]
        for n, count in enumerate(counts[1:], start=2):
            ids = np.empty((count, n), np.uint32)
            log10, backoff = np.empty(count, np.float32), np.full(count, -0.0, np.float32)
            for item, fields in enumerate(self._entries(n, count)):
                try:
                    ids[item] = [index[word] for word in fields[1 : n + 1]]
                except KeyError as error:
                    self._fail(f"the word {error.args[0]!r} is not among the 1-grams")
                self._weigh(fields, n, item, log10, backoff)
            orders.append(Order(ids, log10, backoff))
        self._expect(b"\\end\\")
        return NgramSet(words, orders)

    def _counts(self) -> list[int]:
        self._expect(b"\\data\\")
        counts: list[int] = []
        for line in self._filled():
            if not line.startswith(b"ngram "):
                break
            length, _, count = line[len("ngram ") :].partition(b"=")
            if not (length.strip().isdigit() and count.strip().isdigit()):
                self._fail(f"{line!r} is not of the form 'ngram 2=1000'")
            if int(length) != len(counts) + 1:
                self._fail("the orders are not 1, 2, 3, ...")
            if len(count) > MAX_DIGITS or int(count) > self.most:
                self._fail(
                    f"announces {count[:MAX_DIGITS].decode()} {len(counts) + 1}-grams: more "
                    f"than the file can hold"
                )
            counts.append(int(count))
        if len(counts) < 2:
            self._fail("a model of 2-grams or longer is needed")
        if line != b"\\1-grams:":
            self._fail(f"expected '\\1-grams:', found {line!r}")
        return counts

    def _unigrams(self, count: int) -> tuple[list[bytes], Order]:
        words: list[bytes] = []
        log10, backoff = np.empty(count, np.float32), np.full(count, -0.0, np.float32)
        for item, fields in enumerate(self._entries(1, count)):
            words.append(UNKNOWN if fields[1] == b"<UNK>" else fields[1])
            self._weigh(fields, 1, item, log10, backoff)
        if UNKNOWN in words:
            at = words.index(UNKNOWN)
            order = np.r_[at, 0:at, at + 1 : count]
            log10, backoff = log10[order], backoff[order]
            words.insert(0, words.pop(at))
        else:
            words.insert(0, UNKNOWN)
            log10 = np.r_[np.float32(_UNKNOWN_MISSING_LOG10), log10]
            backoff = np.r_[np.float32(-0.0), backoff]
        ids = np.arange(len(words), dtype=np.uint32)[:, None]
        return words, Order(ids, log10, backoff)

    def _entries(self, n: int, count: int) -> Iterator[list[bytes]]:
        if n > 1:
            self._expect(b"\\%d-grams:" % n)
        for _ in range(count):
            fields = next(self._filled()).split()
            if len(fields) not in (n + 1, n + 2):
                self._fail(f"{len(fields)} fields, where a {n}-gram has {n + 1} or {n + 2}")
            yield fields

    def _weigh(
        self, fields: Sequence[bytes], n: int, item: int, log10: np.ndarray, backoff: np.ndarray
    ) -> None:
        try:
            log10[item] = float(fields[0])
            if len(fields) == n + 2:
                backoff[item] = float(fields[n + 1]) or -0.0
        except ValueError:
            self._fail(f"{fields!r} has something else where a number belongs")
        if log10[item] > 0:
            self._fail(f"the probability 10^{log10[item]} is more than 1")

    def _filled(self) -> Iterator[bytes]:
        for number, line in self.lines:
            self.number = number
            if line is None:
                self._fail("the line is too long for an n-gram")
            if stripped := line.strip(b" \t\r\n"):
                yield stripped
        self._fail("the file ends before \\end\\: it was cut short")

    def _expect(self, wanted: bytes) -> None:
        seen = next(self._filled())
        if seen != wanted:
            self._fail(f"expected {wanted.decode()!r}, found {seen[:40]!r}")

    def _fail(self, what: str) -> NoReturn:
        raise SourceError(f"{self.path}:{self.number}: not a readable ARPA file: {what}")


def write_arpa(ngrams: NgramSet) -> Iterator[bytes]:
    """The lines of an ARPA file, each with its line end."""
    yield b"\\data\\\n"
    for n, order in enumerate(ngrams.orders, start=1):
        yield f"ngram {n}={len(order.ids)}\n".encode()
    for n, order in enumerate(ngrams.orders, start=1):
        yield f"\n\\{n}-grams:\n".encode()
        backoffs = order.backoff.tolist() if n < len(ngrams.orders) else [None] * len(order.ids)
        for ids, log10, backoff in zip(
            order.ids.tolist(), order.log10.tolist(), backoffs, strict=True
        ):
            gram = b" ".join([ngrams.words[number] for number in ids])
            # Nine digits bring a 32-bit float back exactly.
            weight = b"" if backoff is None else b"\t%.9g" % (backoff + 0.0)
            yield b"%.9g\t%s%s\n" % (log10, gram, weight)
    yield b"\n\\end\\\n"
