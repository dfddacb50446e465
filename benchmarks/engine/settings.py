"""The settings that both sides of a comparison get, by language.

Thresholds are FineWeb-2's where its archive of YAML files has the language, else the papers'
defaults. C4's rule of terminal punctuation is off, as in FineWeb (arXiv 2406.17557 §3.5): it knows
no script but Latin.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from polylm_core.languages import get_language

MIN_CONFIDENCE = 0.5
SHINGLE_WORDS, SHINGLE_CHARACTERS = 5, 10
PEER_CODES = {"zho_Hans": "cmn_Hani", "zho_Hant": "cmn_Hani"}
"""Languages that FineWeb-2 and datatrove name in another way."""


def settings(
    languages: Iterable[str],
    archive: Path | None,
    also_accepted: Mapping[str, tuple[str, ...]],
    *,
    shared_words: bool,
) -> dict[str, Any]:
    """Return what each language needs; `shared_words` counts characters where no spaces are."""
    found = _read(archive) if archive else {}
    return {
        code: _setting(code, found, also_accepted.get(code, ()), shared_words) for code in languages
    }


def _setting(
    code: str, found: Mapping[str, Any], relatives: tuple[str, ...], shared_words: bool
) -> dict[str, Any]:
    language = get_language(code)
    has_spaces = language.words == "spaces"
    peer_code = PEER_CODES.get(code, code)
    filters = _filters(found.get(peer_code, {}), code)
    if shared_words and not has_spaces:
        # Ours asks nothing about the inside of a word where a word is a character.
        filters["gopher_quality"] |= dict.fromkeys(
            ("min_avg_word_length", "max_avg_word_length", "max_non_alpha_words_ratio"), 0
        )
        filters["gopher_quality"]["min_stop_words"] = 0
    if shared_words:
        filters["fineweb"]["char_duplicates_ratio"] = 1.0  # a rule that only datatrove has
    return {
        "code": peer_code,
        "has_spaces": has_spaces,
        "lid_labels": [get_language(relative).lid_label for relative in (code, *relatives)],
        "min_confidence": MIN_CONFIDENCE,
        "shingle": SHINGLE_WORDS if has_spaces or not shared_words else SHINGLE_CHARACTERS,
        "filters": filters,
    }


def _filters(given: Mapping[str, Any], code: str) -> dict[str, dict[str, Any]]:
    """Arguments of datatrove's filters, as fineweb-2-pipeline.py derives them from a YAML file."""
    quality: dict[str, Any] = {} if code == "eng_Latn" else {"min_stop_words": 0}
    repetition: dict[str, Any] = {}
    fineweb: dict[str, Any] = {}
    if given:
        quality = {
            "min_avg_word_length": given["min_avg_word_length"],
            "max_avg_word_length": given["max_avg_word_length"],
            "max_non_alpha_words_ratio": given["max_non_alpha_words_ratio"],
            "stop_words": given["stopwords"],
            "min_stop_words": 2,
        }
        repetition = {
            "dup_para_frac": 0,
            "dup_line_char_frac": 0,
            "dup_para_char_frac": 0,
            "dup_line_frac": given["dup_line_frac"],
            "top_n_grams": given["top_n_grams"],
            "dup_n_grams": given["dup_n_grams"],
        }
        fineweb = {
            "short_line_thr": 999,
            "char_duplicates_ratio": 0.1,
            "line_punct_thr": given["line_punct_thr"],
            "new_line_ratio": given["new_line_ratio"],
        }
    return {
        "gopher_repetition": repetition,
        "gopher_quality": quality,
        "c4": {"filter_no_terminal_punct": False},
        "fineweb": fineweb,
    }


def _read(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as tar:
        return {
            Path(member.name).stem: yaml.safe_load(io.TextIOWrapper(content, "utf-8"))
            for member in tar
            if member.name.endswith(".yml") and (content := tar.extractfile(member)) is not None
        }
