"""How an aligned pair becomes text to learn from: several layouts, both directions.

PolyLM learns from pairs but does not publish their layout (§3.1); its README asks for translations
as `<source>`, newline, `Translate this sentence from English to Chinese.` A model that meets one
layout only follows that one, so each pair is given one of several by its id and the seed, and
English comes first for half of them. The same id always gets the same layout and direction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from polylm_core.languages import get_language, name_in

if TYPE_CHECKING:  # records is heavy, and a recipe is light to check
    from polylm_core.records import Pair

LayoutName = Literal["lines", "tab", "arrow", "labelled", "translate", "translate_native"]


class Sides(NamedTuple):
    """A pair in the direction it is read."""

    source: str
    target: str
    source_language: str
    target_language: str


def _lines(sides: Sides) -> str:
    return f"{sides.source}\n{sides.target}"


def _tab(sides: Sides) -> str:
    return f"{sides.source}\t{sides.target}"


def _arrow(sides: Sides) -> str:
    """GPT-3's layout of examples (Brown et al. 2020, figure 2.1)."""
    return f"{sides.source} => {sides.target}"


def _labelled(sides: Sides) -> str:
    """Each side after its language's name, both in the language that is read to.

    Swedish to German: `Schwedisch: ...`, `Deutsch: ...`.
    """
    reader = sides.target_language
    source, target = (name_in(code, reader) for code in (sides.source_language, reader))
    return f"{source}: {sides.source}\n{target}: {sides.target}"


def _translate(sides: Sides) -> str:
    """The prompt of PolyLM's README and evaluation."""
    source = get_language(sides.source_language).english_name
    target = get_language(sides.target_language).english_name
    return f"{sides.source}\nTranslate this sentence from {source} to {target}.\n{sides.target}"


def _translate_native(sides: Sides) -> str:
    """The wish for a translation without words of a third language: `eng > deu` by native names."""
    source = get_language(sides.source_language).native_name
    target = get_language(sides.target_language).native_name
    return f"{sides.source}\n[{source} → {target}]\n{sides.target}"


LAYOUTS: Mapping[LayoutName, Callable[[Sides], str]] = {
    "lines": _lines,
    "tab": _tab,
    "arrow": _arrow,
    "labelled": _labelled,
    "translate": _translate,
    "translate_native": _translate_native,
}
"""Every layout by the name that `params.yaml` uses."""


def _some_weight(weights: dict[LayoutName, float]) -> dict[LayoutName, float]:
    if not sum(weights.values()):
        raise ValueError(f"give a layout a weight above 0; known are {', '.join(LAYOUTS)}")
    return weights


LayoutWeights = Annotated[
    dict[LayoutName, Annotated[float, Field(ge=0)]], AfterValidator(_some_weight)
]
"""Parts of the pairs that get each layout; what counts is the part of their sum."""

DEFAULT_WEIGHTS: Mapping[LayoutName, float] = {"lines": 0.5, "labelled": 0.25, "translate": 0.25}


def lay_out(pair: Pair, seed: int, weights: Mapping[LayoutName, float]) -> str:
    """The text of a pair, in the layout and direction drawn by its id and the seed."""
    digest = hashlib.sha256(f"{seed}\n{pair.id}".encode()).digest()
    forward = Sides(pair.text_a, pair.text_b, pair.language_a, pair.language_b)
    backward = Sides(pair.text_b, pair.text_a, pair.language_b, pair.language_a)
    sides = forward if digest[0] & 1 else backward
    return LAYOUTS[_drawn(int.from_bytes(digest[1:9]) / 2**64, weights)](sides)


def _drawn(place: float, weights: Mapping[LayoutName, float]) -> LayoutName:
    """The layout at a place in [0, 1), each as wide as its weight, in the order of `LAYOUTS`."""
    whole = sum(weights.values())
    chosen = [name for name in LAYOUTS if weights.get(name, 0) > 0]
    end = 0.0
    for name in chosen[:-1]:
        end += weights[name] / whole
        if place < end:
            return name
    return chosen[-1]
