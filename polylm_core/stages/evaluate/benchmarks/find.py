"""Where the sets of a recipe lie, and their rows; a set that is not there is named, with its fetch.

A set lies in the folder that the profile has in `benchmark_locations`, otherwise in the cache of
the Hugging Face hub, which is asked for what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from polylm_core.errors import SourceError
from polylm_core.lines import BrokenFileError
from polylm_core.stages.evaluate.benchmarks.benchmark_set import BenchmarkSet, Form
from polylm_core.stages.evaluate.benchmarks.readers import READERS, Row
from polylm_core.storage import sha256_file

UNREADABLE = (KeyError, ValueError, TypeError, OSError, RecursionError, BrokenFileError)
"""What reading a file of another form raises."""


@dataclass(frozen=True)
class FoundSet:
    """A set of the catalogue with the files that were found."""

    benchmark: BenchmarkSet
    form: Form
    folder: Path
    languages: tuple[str, ...]
    """FLORES-200 codes."""

    def files(self, language: str, split: str) -> list[Path]:
        """Files of a split, by name."""
        pattern = self.form.splits[split].format(language=self.benchmark.languages[language])
        return sorted(self.folder.glob(pattern))

    def rows(self, language: str, split: str) -> Iterator[Row]:
        """Read a split; raises SourceError for a file of another form."""
        for path in self.files(language, split):
            try:
                yield from READERS[self.form.read](path, self.benchmark.languages[language])
            except UNREADABLE as error:
                raise SourceError(
                    f"{path} is not a file of {self.benchmark.title} ({type(error).__name__}: "
                    f"{error}); fetch it again with "
                    f"`{self.benchmark.fetch_command(self.languages)}`"
                ) from error

    def sha256(self) -> str:
        """Hash of the content of all files, whatever they are called."""
        files = {
            path
            for language in self.languages
            for pattern in self.benchmark.patterns(self.form, [language])
            for path in self.folder.glob(pattern)
        }
        whole = "\n".join(sorted(sha256_file(path) for path in files))
        return hashlib.sha256(whole.encode()).hexdigest()


def find_sets(
    asked: Sequence[tuple[BenchmarkSet, Sequence[str]]], locations: Mapping[str, str]
) -> list[FoundSet]:
    """Find every set with these FLORES-200 codes; raises SourceError that names all that lack."""
    found, missing = [], []
    for benchmark, languages in asked:
        place = _find(benchmark, tuple(languages), locations.get(benchmark.name))
        if isinstance(place, FoundSet):
            found.append(place)
        else:
            missing.append(f"  {benchmark.name} ({benchmark.title}): {place}")
    if missing:
        noun = "benchmark is" if len(missing) == 1 else "benchmarks are"
        raise SourceError(f"{len(missing)} {noun} not here:\n" + "\n".join(missing))
    return found


def _find(
    benchmark: BenchmarkSet, languages: tuple[str, ...], location: str | None
) -> FoundSet | str:
    """The set, or what is missing and how it is fetched."""
    command = benchmark.fetch_command(languages)
    if location is not None:
        folder = Path(location).expanduser()
        lacks = "; ".join(
            dict.fromkeys(
                ", ".join(patterns)
                for form in benchmark.forms
                if (patterns := _unmatched(benchmark, form, languages, folder))
            )
        )
        for form in benchmark.forms:
            if not _unmatched(benchmark, form, languages, folder):
                return FoundSet(benchmark, form, folder, languages)
        return (
            f"{folder}, the profile's `benchmark_locations.{benchmark.name}`, lacks {lacks}; put "
            f"the files there, or take the location out and fetch them with `{command}`"
        )
    if benchmark.hub is None or benchmark.revision is None:
        return (
            f"it is not on the hub; fetch it with `{command}` and name its folder in the "
            f"profile's `benchmark_locations.{benchmark.name}`"
        )
    form = benchmark.forms[0]
    cached = _cached(benchmark, benchmark.patterns(form, languages))
    if cached is None or _unmatched(benchmark, form, languages, cached):
        return (
            f"neither in the cache of the hub nor to be had from it; fetch it with `{command}`, "
            f"or name its folder in the profile's `benchmark_locations.{benchmark.name}`"
        )
    return FoundSet(benchmark, form, cached, languages)


def _unmatched(
    benchmark: BenchmarkSet, form: Form, languages: Sequence[str], folder: Path
) -> list[str]:
    """Patterns of which the folder has no file."""
    patterns = benchmark.patterns(form, languages)
    return [pattern for pattern in patterns if not any(folder.glob(pattern))]


def _cached(benchmark: BenchmarkSet, patterns: list[str]) -> Path | None:
    """The pinned snapshot in the hub's cache, fetched where there is a network."""
    try:
        folder = snapshot_download(
            str(benchmark.hub),
            repo_type="dataset",
            revision=benchmark.revision,
            allow_patterns=patterns,
        )
    except (LocalEntryNotFoundError, HTTPError, OSError):
        return None
    return Path(folder)
