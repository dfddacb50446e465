"""The kernels of curate in plain Python: slow, and for people to read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from itertools import groupby

from polylm_core.characters import (
    BULLET,
    DIGIT,
    INVISIBLE,
    LETTER,
    SENTENCE_END,
    SEPARATOR,
    SYMBOL,
    properties,
)
from polylm_core.languages import get_language

URL = re.compile(r"\(?(?:https?://|www\.)\S+\Z")


def has(character: str, flag: int) -> bool:
    return bool(properties()[ord(character)] & flag)


def repaired_line(raw: str, *, are_words: bool, max_word_characters: int) -> tuple[str, bool]:
    """A line in its one form, and whether an over-long word was cut out of it."""
    visible = "".join(c for c in raw if c.isspace() or not has(c, INVISIBLE))
    line = " ".join(visible.split())
    run = r"\S" if are_words else "[!-~]"
    cut = re.sub(f"{run}{{{max_word_characters + 1},}}", " ", line)
    return " ".join(cut.split()), cut != line


def repair(
    text: str,
    *,
    are_words: bool,
    max_word_characters: int,
    english: Collection[str] = (),
    min_copied_letters: int = 0,
) -> tuple[list[str], list[str], dict[str, float]]:
    """Lines kept, reasons of what was left out, and the shares of what is said again."""
    raw_lines = unicodedata.normalize("NFC", text).split("\n")
    lines = [
        repaired_line(raw, are_words=are_words, max_word_characters=max_word_characters)
        for raw in raw_lines
    ]
    kept: list[str] = []
    reasons: list[str] = []
    seen: set[str] = set()
    repeated: list[str] = []
    for line, was_cut in lines:
        if was_cut:
            reasons.append("overlong-word")
        if not line:
            continue
        letters = sum(has(c, LETTER) for c in line)
        if line in seen:
            reasons.append("repeated-line")
            repeated.append(line)
        elif URL.match(line):
            reasons.append("url-only")
        elif letters >= min_copied_letters and line in english:
            reasons.append("copy-of-english")
        else:
            kept.append(line)
        seen.add(line)
    said = [line for line, _ in lines if line]
    paragraphs = [
        "\n".join(line for line, _ in group)
        for is_text, group in groupby(lines, key=lambda item: bool(item[0]))
        if is_text
    ]
    again = [p for number, p in enumerate(paragraphs) if p in paragraphs[:number]]
    total = max(sum(map(len, said)), 1)
    shares = {
        "repeated_line_share": len(repeated) / max(len(said), 1),
        "repeated_line_character_share": sum(map(len, repeated)) / total,
        "repeated_paragraph_share": len(again) / max(len(paragraphs), 1),
        "repeated_paragraph_character_share": sum(len(p.replace("\n", "")) for p in again) / total,
    }
    return kept, reasons, shares


def tokens_of(text: str, *, are_words: bool) -> list[str]:
    return text.split() if are_words else list("".join(text.split()))


def wording(token: str) -> str:
    """A token as it is compared: without case, punctuation and symbols."""
    said = "".join(c for c in token if not has(c, SEPARATOR | SYMBOL))
    one_i = said.replace("İ", "i").replace("ı", "i").replace("ẞ", "ß")
    folded = (c.casefold() if len(c.casefold()) == 1 or c == "ß" else c for c in one_i)
    return "".join(folded)


def measures(
    text: str, language: str, *, characters_per_word: int, stop_words: Collection[str] = ()
) -> dict[str, float]:
    """Everything the rules ask of one repaired text."""
    are_words = get_language(language).words == "spaces"
    scale = 1 if are_words else characters_per_word
    tokens = tokens_of(text, are_words=are_words)
    words = [t for t in tokens if not all(has(c, SYMBOL) for c in t)]
    num_words = max(len(tokens) / scale, 1e-9)
    lines = [line for line in text.split("\n") if line]
    visible = [c for c in text if not c.isspace()]
    letters = [c for c in text if has(c, LETTER)]
    ranges = get_language(language).script_ranges
    own = [c for c in letters if any(low <= ord(c) <= high for low, high in ranges)]
    ellipses = len(re.findall(r"(?<!\.)\.{3}", text)) + text.count("…")
    found = {
        "words": len(words) / scale,
        "mean_word_characters": sum(map(len, words)) / max(len(words), 1),
        "alphabetic_word_share": sum(any(has(c, LETTER) for c in t) for t in tokens) / num_words,
        "stop_words": len({wording(t) for t in tokens} & set(stop_words)),
        "symbol_to_word_ratio": max(text.count("#"), ellipses) / num_words,
        "new_line_ratio": max(len(lines) - 1, 0) / num_words,
        "digit_share": sum(has(c, DIGIT) for c in visible) / max(len(visible), 1),
        "script_share": len(own) / max(len(letters), 1),
        "bullet_line_share": sum(has(line[0], BULLET) for line in lines) / max(len(lines), 1),
        "ellipsis_line_share": sum(line.endswith(("...", "…")) for line in lines)
        / max(len(lines), 1),
        "line_end_share": sum(has(line[-1], SENTENCE_END) for line in lines) / max(len(lines), 1),
        "short_line_share": sum(len(line) <= 30 for line in lines) / max(len(lines), 1),
    }
    for n in (2, 3, 4):
        found[f"top_{n}_gram_share"] = top_share(tokens, n, scale, text)
    for n in (5, 6, 7, 8, 9, 10):
        found[f"duplicate_{n}_gram_share"] = duplicate_share(tokens, n * scale, text)
    return found


def top_share(tokens: list[str], n: int, scale: int, text: str) -> float:
    size = n * scale
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    if not grams:
        return 0.0
    gram, count = Counter(grams).most_common(1)[0]
    return count * (len("".join(gram)) + n - 1) / len(text) if count > 1 else 0.0


def duplicate_share(tokens: list[str], n: int, text: str) -> float:
    seen: set[tuple[str, ...]] = set()
    characters = at = 0
    while at < len(tokens) - n + 1 and len(tokens) > n:
        gram = tuple(tokens[at : at + n])
        if gram in seen:
            characters += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return characters / max(len(text), 1)


def shingles(text: str, n: int, *, are_words: bool) -> set[tuple[str, ...]]:
    words = [w for w in (wording(t) for t in tokens_of(text, are_words=are_words)) if w]
    if not words:
        return set()
    return {tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))}
