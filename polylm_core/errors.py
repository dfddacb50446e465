"""Every error a user of PolyLM can meet; each says what is wrong, the value seen and what to do.

PolyLMError
├── ParamsError            a recipe or profile file has mistakes (all of them listed)
├── UnknownLanguageError   a language code that is not in the registry
├── SourceError            a raw input cannot be read
│   └── UnreachableError         for now: its server does not answer as it should
├── ArtifactError
│   ├── MissingArtifactError     no manifest: the stage that makes it has to run
│   ├── CorruptArtifactError     a file differs from what its manifest recorded
│   └── MismatchedArtifactError  two artifacts that do not belong together
├── StageError             a stage cannot reach what its parameters ask for
├── TeacherError           a teacher cannot be asked, or its budget is spent
├── TranslatorError        a translator lacks a language, or is not the declared one
├── TrainingError          a step or a checkpoint is not usable
├── PromptTooLongError     a prompt does not fit the model's context
├── MachineError           the machine lacks something (compiler, port, disk, accelerator)
│   └── InfrastructureError      for now: another try may find what a network or cluster lacked
└── LockedError            another living process is building the same thing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polylm_core.redaction import redacted

MAX_VALUE_CHARACTERS = 120
"""Of a value that is shown: a whole section would hide what is said of it."""


class PolyLMError(Exception):
    """Base of all errors that are the user's to mend; shown as text, never as a traceback.

    Its text never shows a secret, whatever it was made of.
    """

    def __str__(self) -> str:
        return redacted(super().__str__())


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it stands, what is wrong with it and the value seen."""

    location: str
    """Dotted path, such as `pretrain.optimizer.peak_learning_rate`."""
    message: str
    value: object = None

    def __str__(self) -> str:
        told = redacted(f"{self.location}: {self.message}")
        if self.value is None:
            return told
        whole = redacted(f"{self.location}: {self.message} (got {self.value!r})")
        longest = len(told) + MAX_VALUE_CHARACTERS
        return whole if len(whole) <= longest else f"{whole[:longest]}...)"


class ParamsError(PolyLMError):
    """A recipe or profile file is wrong; carries all of its problems at once."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{file} has {len(problems)} {noun}; correct and run again:\n{lines}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Cross to another process whole."""
        return type(self), (self.file, self.problems)


class UnknownLanguageError(PolyLMError):
    """A language code is not in the registry."""

    def __init__(self, code: str, known: Iterable[str]) -> None:
        self.code = code
        self.known = tuple(known)
        close = difflib.get_close_matches(code, self.known, n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(close)}?" if close else "."
        super().__init__(
            f"unknown language {code!r}{hint} "
            "Codes are ISO 639-3 + script as in FLORES-200, for example por_Latn."
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Cross to another process whole."""
        return type(self), (self.code, self.known)


class SourceError(PolyLMError):
    """A raw input is missing, empty, not UTF-8, truncated or of another shape than declared."""


class MachineError(PolyLMError):
    """The machine lacks something a run needs; the message says how to provide it."""


class InfrastructureError(MachineError):
    """A network, store or cluster failed; the same run may succeed when it is tried again."""


class UnreachableError(SourceError, InfrastructureError):
    """An address did not answer as it should, however often it was asked."""


class ArtifactError(PolyLMError):
    """Something is wrong with an artifact of the pipeline."""


class MissingArtifactError(ArtifactError):
    """An artifact does not exist: its folder has no manifest."""


class CorruptArtifactError(ArtifactError):
    """A file of an artifact is not the one its manifest recorded."""


class MismatchedArtifactError(ArtifactError):
    """Two artifacts were made from different things and cannot be used together."""


class StageError(PolyLMError):
    """A stage cannot do what its parameters ask with the input it was given."""


class TeacherError(PolyLMError):
    """A teacher cannot be asked any more: its endpoint says no, or the budget is spent."""


class TranslatorError(PolyLMError):
    """A translator cannot translate what it is asked to."""


class TrainingError(PolyLMError):
    """A training step or checkpoint is not usable."""


class PromptTooLongError(PolyLMError):
    """A prompt and the tokens asked for do not fit the model's context."""

    def __init__(self, name: str, prompt_tokens: int, max_tokens: int) -> None:
        self.counted = (name, prompt_tokens, max_tokens)
        super().__init__(
            f"{name}: the prompt has {prompt_tokens} tokens, but at most {max_tokens} fit "
            "the context beside the tokens to generate; shorten it or ask for fewer new tokens"
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Cross to another process whole."""
        return type(self), self.counted


class LockedError(PolyLMError):
    """Another living process is at work on the same thing; the message names its pid."""
