"""What is protected, what is not, and markers that come back."""

from __future__ import annotations

import random
import time

import pytest

from polylm_core.translators.config import ProtectionConfig
from polylm_core.translators.protection import mask, parts_of

PROTECTED = [
    "```python\nprint('Hello')\n```",
    "~~~\nraw\n~~~",
    "`pip install x`",
    "``a ` b``",
    "{name}",
    "{}",
    "{0:.2f}",
    "{user.name!r}",
    "{{ page.title }}",
    "${HOME}",
    "$[officename]",
    "%PRODUCTNAME",
    "%{count}",
    "%s",
    "%5.2f",
    "%-10d",
    "%(total)d",
    "%1$s",
    "$1",
    "$12",
    "$name",
    "<0>",
    "</0>",
    "<br/>",
    '<a href="https://x.org/a?b=1&c=2" title="Read > me">',
    "</p>",
    "<ph name='X'/>",
    "<!-- note: keep -->",
    "<?xml version='1.0'?>",
    "&nbsp;",
    "&#8217;",
    "&#x2F;",
    "https://example.org/wiki/Rome_(city)#top",
    "http://例え.jp/パス?q=1",
    "ftp://host/file.tar.gz",
    "www.example.org/path",
    "someone+tag@mail.example.co.uk",
    "mailto:a@b.org",
]
PLAIN = [
    "It costs $100 and 50% of it is $1,000.50 or $3.5.",
    "If a < b and c > d, then 3 < 4.",
    "Ben & Jerry, 100 % sure; 5% on all, 7%discount",
    "He said: @noon {not a placeholder because of words}",
    "A `backtick alone and a # 5 [1] note",
    "e.g. this, i.e. that",
]
WORDS = [
    "see",
    "Ünïcode",
    "今日は",
    "don't",
    "(maybe)",
    "5",
    "—",
    "نعم",
    "\n",
    "\n\n  ",
    "[1]",
    "#2",
]


@pytest.mark.parametrize("stretch", PROTECTED)
@pytest.mark.parametrize("frame", ["{}", "Take {} now", "Take ({}), please.", "「{}」", "x\n{}\ny"])
def test_a_protected_stretch_is_found_whole(stretch: str, frame: str) -> None:
    text = frame.replace("{}", stretch)
    assert [part.text for part in parts_of(text) if part.is_protected] == [stretch]
    assert "".join(part.text for part in parts_of(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_is_translated(text: str) -> None:
    assert [part.text for part in parts_of(text)] == [text]


def test_a_fence_that_is_not_closed_protects_all_that_follows() -> None:
    parts = parts_of("Run this:\n```\nrm x\n\nand more")
    assert [(part.text, part.is_protected) for part in parts] == [
        ("Run this:\n", False),
        ("```\nrm x\n\nand more", True),
    ]


def test_neighbours_share_a_marker() -> None:
    masked = mask(parts_of("Go <b><i>now</i></b> {a} on"), "[[{number}]]")
    assert masked.text == "Go [[0]]now[[1]] on"


def test_a_marker_that_the_text_has_itself_is_not_used() -> None:
    masked = mask(parts_of("As in [[0]] and [[2]]: {a}, {b} and {c} too"), "[[{number}]]")
    assert masked.text == "As in [[0]] and [[2]]: [[1]], [[3]] and [[4]] too"
    assert masked.restore(masked.text) == "As in [[0]] and [[2]]: {a}, {b} and {c} too"


def test_a_restored_part_that_looks_like_a_marker_stays_as_it_is() -> None:
    masked = mask(parts_of("Write `[[1]]` and then `[[0]]` here"), "[[{number}]]")
    assert masked.restore("[[1]] [[0]]") == "`[[0]]` `[[1]]`"


@pytest.mark.parametrize("seed", range(300))
def test_any_text_is_restored_from_any_order_of_its_markers(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [rng.choice(rng.choice((PROTECTED[2:], WORDS))) for _ in range(rng.randint(1, 12))]
    text = rng.choice(("", " ")).join(pieces) if rng.random() < 0.2 else " ".join(pieces)
    parts = parts_of(text)
    assert "".join(part.text for part in parts) == text
    for form in ProtectionConfig().markers:
        masked = mask(parts, form)
        assert masked.restore(masked.text) == text
        markers = [form.replace("{number}", str(number)) for number, _ in masked.protected]
        rng.shuffle(markers)
        assert masked.restore(" x ".join(markers)) is not None
        if markers:
            assert masked.restore(" x ".join(markers[1:])) is None
            assert masked.restore(" x ".join([*markers, markers[0]])) is None


@pytest.mark.parametrize(
    "text",
    ["<a " * 20_000, "`" * 40_000, "{" * 40_000, "a" * 80_000, "<a b='" * 9_000, "&a" * 30_000],
)
def test_a_hostile_text_takes_no_time(text: str) -> None:
    start = time.process_time()
    parts_of(text)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("marker", ["{number}", "X{number}", "1{number}1", "[ {number} ]", "[]"])
def test_a_marker_that_cannot_be_told_apart_is_refused(marker: str) -> None:
    with pytest.raises(ValueError, match="markers"):
        ProtectionConfig(markers=(marker,))
