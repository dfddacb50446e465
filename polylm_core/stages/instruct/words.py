"""Words as ROUGE-L counts them: nltk's wordpunct, or those of a segmenter of the language.

PolyLM (§4) splits eight of its languages by wordpunct, Japanese by KyTea, Korean by Okt and Thai by
a tokenizer it does not name. KyTea's model is in no package and Okt needs Java, so others that are
kept and whose licence permits stand in for them: Sudachi (Apache-2.0) in its shortest units,
MeCab-ko (BSD; dictionary Apache-2.0), PyThaiNLP's newmm (Apache-2.0) and, for Chinese, jieba (MIT)
as `rjieba`. They are the extra `segmenters`, because their dictionaries take 300 MB.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from polylm_core.errors import MachineError
from polylm_core.languages import get_language

Split = Callable[[str], list[str]]

_WORDPUNCT = re.compile(r"\w+|[^\w\s]+")
_PIECE_CHARACTERS = 10_000
"""Sudachi takes 49,149 bytes at once."""


def split_words(text: str, language: str) -> list[str]:
    """The words and marks of a text, as they stand, without spaces.

    Single characters where no spaces stand between words and no segmenter is known. Raises
    MachineError when the language's segmenter is not installed.
    """
    load = _SEGMENTERS.get(language)
    if load is not None:
        return [word.strip() for word in load()(text) if not word.isspace()]
    if get_language(language).words == "spaces":
        return _WORDPUNCT.findall(text)
    return [character for character in text if not character.isspace()]


def wording(words: list[str]) -> list[str]:
    """The words without marks and in lower case."""
    return [word.lower() for word in words if any(map(str.isalnum, word))]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"{name}, which splits a language without spaces into words, cannot be imported "
            f"({error}); run `pip install 'polylm[segmenters]'`"
        ) from error


@functools.cache
def _japanese() -> Split:
    sudachi = _module("sudachipy")
    _module("sudachidict_small")
    tokenizer = sudachi.Dictionary(dict="small").tokenizer(mode=sudachi.SplitMode.A)
    return lambda text: [
        word.surface() for piece in _pieces(text) for word in tokenizer.tokenize(piece)
    ]


@functools.cache
def _korean() -> Split:
    analyser = _module("mecab").MeCab()
    return lambda text: list(analyser.morphs(text))


@functools.cache
def _thai() -> Split:
    # Otherwise it makes a folder for downloads in the home directory; none is needed.
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")
    segment = _module("pythainlp.tokenize.newmm").segment
    return lambda text: list(segment(text))


@functools.cache
def _chinese() -> Split:
    cut = _module("rjieba").cut
    return lambda text: list(cut(text))


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), _PIECE_CHARACTERS):
        yield text[at : at + _PIECE_CHARACTERS]


_SEGMENTERS: Mapping[str, Callable[[], Split]] = types.MappingProxyType(
    {
        "jpn_Jpan": _japanese,
        "kor_Hang": _korean,
        "tha_Thai": _thai,
        "zho_Hans": _chinese,
        "zho_Hant": _chinese,
    }
)
