"""What the catalogue says of a published set. Data alone: the check of a recipe reads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

HARNESS = "lm_eval:"
"""Begins the name of a task file that lm-evaluation-harness ships."""


@dataclass(frozen=True)
class Metric:
    """One number of a set."""

    name: str
    """As the harness calls it."""
    estimate: str
    """How value and interval follow from the items: a name of `ESTIMATES` in estimates.py."""
    chance: float | None = None
    """What a random choice scores; None where that has no meaning."""


@dataclass(frozen=True)
class Form:
    """One form in which a set's files lie in a folder: the hub's, or that of its first release."""

    splits: Mapping[str, str]
    """Glob of the files of each split, relative to the folder; `{language}` is the set's own code.
    The split that is scored and the one that examples are drawn from, as the task file names."""
    read: str
    """How a file becomes rows: a name of `READERS` in readers.py."""
    also: tuple[str, ...] = ()
    """Globs of files that are read beside those of the splits, such as the English side."""


@dataclass(frozen=True)
class BenchmarkSet:
    """A published benchmark."""

    name: str
    title: str
    source: str
    """The paper, with its arXiv number, or the page."""
    license: str
    """SPDX name; `unknown` where whoever published it states none."""
    languages: Mapping[str, str]
    """The set's own code by FLORES-200 code."""
    kind: Literal["options", "generation"]
    """`options`: the log-likelihoods of given options are compared; `generation`: the model
    writes."""
    task: str
    """Task file with `{language}` for the set's own code: of the folder `tasks/`, or after
    `lm_eval:` of the harness."""
    scored: str
    """The split whose items are scored."""
    metrics: tuple[Metric, ...]
    """Those that are reported, the main one first."""
    forms: tuple[Form, ...]
    """The hub's form first."""
    hub: str | None = None
    """Dataset of the Hugging Face hub."""
    revision: str | None = None
    """Its commit."""
    fetch: str = ""
    """Command that fetches a set which the hub lacks."""
    answer_filter: str = ""
    """Which of the task's filters makes the answer, where it has several."""
    stops: tuple[str, ...] = ("\n",)
    """Where the base model's answer ends; a chat model ends its own."""
    base_shots: int = 0
    """Examples in the prompt of the base model, as PolyLM has them (arXiv 2307.06018, section 5);
    a chat model is asked without."""
    answers_below: bool = False
    """Whether an answer is the line below its question. The base model's prompt then ends with the
    line break: one that the model had to write would end the answer before its first word."""

    def codes(self, languages: Iterable[str]) -> list[str]:
        """Those of the FLORES-200 codes that the set has."""
        return [code for code in languages if code in self.languages]

    def patterns(self, form: Form, languages: Iterable[str]) -> list[str]:
        """Globs of all files of these FLORES-200 codes, each once."""
        return list(
            dict.fromkeys(
                pattern.format(language=self.languages[code])
                for code in languages
                for pattern in (*form.splits.values(), *form.also)
            )
        )

    def fetch_command(self, languages: Iterable[str]) -> str:
        """What a person runs to have the files of these languages where they are looked for."""
        if self.hub is None or self.revision is None:
            return self.fetch
        include = [
            argument
            for pattern in self.patterns(self.forms[0], languages)
            for argument in ("--include", pattern)
        ]
        command = ["hf", "download", "--repo-type", "dataset", "--revision", self.revision]
        return shlex.join([*command, self.hub, *include])
