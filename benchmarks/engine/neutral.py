"""Recipes in which curate does one thing only: what is compared with a peer's single steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

OFF: dict[str, Any] = {
    "characters_per_word": 1,
    "min_words": 1,
    "max_words": 10**9,
    "min_mean_word_characters": 0,
    "max_mean_word_characters": 10**9,
    "min_alphabetic_word_share": 0,
    "max_symbol_to_word_ratio": 10**9,
    "max_bullet_line_share": 1,
    "max_ellipsis_line_share": 1,
    "min_stop_words": 0,
    "max_digit_share": 1,
    "min_script_share": 0,
    "max_repeated_line_share": 1,
    "max_repeated_line_character_share": 1,
    "max_repeated_paragraph_share": 1,
    "max_repeated_paragraph_character_share": 1,
    "max_top_ngram_share": {},
    "min_top_ngrams": 1,
    "max_duplicate_ngram_share": {},
}
"""Thresholds that no document is beyond; a word is one character where no spaces stand."""

PEER_DEFAULTS: dict[str, dict[str, Any]] = {
    "gopher_repetition": {
        "dup_line_frac": 0.3,
        "dup_para_frac": 0.3,
        "dup_line_char_frac": 0.2,
        "dup_para_char_frac": 0.2,
        "top_n_grams": [[2, 0.2], [3, 0.18], [4, 0.16]],
        "dup_n_grams": [[5, 0.15], [6, 0.14], [7, 0.13], [8, 0.12], [9, 0.11], [10, 0.1]],
    },
    "gopher_quality": {
        "min_doc_words": 50,
        "max_doc_words": 100_000,
        "min_avg_word_length": 3,
        "max_avg_word_length": 10,
        "max_symbol_word_ratio": 0.1,
        "max_bullet_lines_ratio": 0.9,
        "max_ellipsis_lines_ratio": 0.3,
        "max_non_alpha_words_ratio": 0.8,
        "min_stop_words": 2,
    },
    "fineweb": {"line_punct_thr": 0.12, "short_line_thr": 0.67, "new_line_ratio": 0.3},
}
"""datatrove's arguments where the settings say nothing; rules that only it has are off for it."""

_NAMES = {
    "dup_line_frac": "max_repeated_line_share",
    "dup_para_frac": "max_repeated_paragraph_share",
    "dup_line_char_frac": "max_repeated_line_character_share",
    "dup_para_char_frac": "max_repeated_paragraph_character_share",
    "top_n_grams": "max_top_ngram_share",
    "dup_n_grams": "max_duplicate_ngram_share",
    "min_doc_words": "min_words",
    "max_doc_words": "max_words",
    "min_avg_word_length": "min_mean_word_characters",
    "max_avg_word_length": "max_mean_word_characters",
    "max_symbol_word_ratio": "max_symbol_to_word_ratio",
    "max_bullet_lines_ratio": "max_bullet_line_share",
    "max_ellipsis_lines_ratio": "max_ellipsis_line_share",
    "max_non_alpha_words_ratio": "min_alphabetic_word_share",
    "min_stop_words": "min_stop_words",
    "line_punct_thr": "min_line_end_share",
    "short_line_thr": "max_short_line_share",
    "new_line_ratio": "max_new_line_ratio",
}
"""Our threshold for each of datatrove's arguments."""


def thresholds(filter_name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds under which our rules are one of datatrove's filters."""
    found = dict(OFF)
    for name, value in (PEER_DEFAULTS[filter_name] | dict(given)).items():
        ours = _NAMES.get(name)
        if ours is None or (not value and ours not in ("min_stop_words", "min_words")):
            continue  # zero switches a rule of datatrove off
        if name.endswith("n_grams"):
            value = {int(n): share for n, share in value}
        found[ours] = min(value, 1.0) if ours.endswith("_share") and name[-5:] != "grams" else value
    return found


def rules(filter_name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `rules` that does as one of datatrove's filters in each language."""
    arguments = {code: row["filters"][filter_name] for code, row in settings.items()}
    stop_words = {
        code: given.get("stop_words", ENGLISH_STOP_WORDS)
        for code, given in arguments.items()
        if filter_name == "gopher_quality" and given.get("min_stop_words", 2)
    }
    by_language = {code: thresholds(filter_name, given) for code, given in arguments.items()}
    return {"default": OFF, "by_language": by_language, "stop_words": stop_words}


ENGLISH_STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]
NO_RULES = {"default": OFF}


BLIND = {
    "sample_characters": 1,
    "sample_windows": 1,
    "min_confidence": 0,
    "pair_min_confidence": 0,
    "pair_min_characters": 1,
}
"""Identification that looks at one letter and believes every claim."""


def all_rules(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `rules` that does as all of datatrove's filters one after the other."""
    sections = [rules(name, settings) for name in PEER_DEFAULTS]
    merged: dict[str, Any] = {"default": OFF, "by_language": {}, "stop_words": {}}
    for section in sections:
        merged["stop_words"] |= section["stop_words"]
        for code, given in section["by_language"].items():
            differing = {name: value for name, value in given.items() if value != OFF.get(name)}
            merged["by_language"].setdefault(code, {}).update(differing)
    return merged


def write_pipeline(recipe: Path, out: Path, settings: Mapping[str, Any], *, identify: bool) -> Path:
    """Write a recipe whose `curate` does what datatrove's pipeline does, with its settings."""
    write_recipe(recipe, out, all_rules(settings))
    content = yaml.safe_load(out.read_text("utf-8"))
    if identify:
        own = yaml.safe_load(recipe.read_text("utf-8"))["curate"]["identify"]
        content["curate"]["identify"] = {**own, "foreign_lines": None}
    out.write_text(yaml.safe_dump(content), "utf-8")
    return out


def write_recipe(recipe: Path, out: Path, rules_section: Mapping[str, Any]) -> Path:
    """Write a recipe whose `curate` has these rules, and duplicates, and nothing else."""
    content = yaml.safe_load(recipe.read_text("utf-8"))
    held_out = {**content["curate"]["held_out"], "share": 0.01, "share_by_source": {}}
    content["curate"] = {
        "max_word_characters": 10**9,
        "identify": BLIND,
        "mask_personal_data": False,
        "rules": dict(rules_section),
        "near_duplicates": {"min_jaccard": 0.8},
        "pairs": content["curate"]["pairs"],
        "held_out": held_out,
        "decontaminate": {},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(content), "utf-8")
    return out
