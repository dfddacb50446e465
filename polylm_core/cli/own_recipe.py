"""The recipe of a new project: the default one, with one's own languages and budgets that fit.

Everything that is not changed here stays as the default recipe has it, comments too. What the text
gives in tokens is guessed low, so that `mix` is not asked for more than there is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.cli.own_text import OwnPairs, OwnText
from polylm_core.languages import ENGLISH, get_language
from polylm_core.storage import sha256_file

TOKENS_PER_CHARACTER = 0.12
"""At least: 5 characters a token, and 40 % of the text lost to filters and held out."""
MIN_TOKENS = 400_000
MAX_TOKENS = 2_883_584
"""Of the default recipe, which two processor cores learn in some minutes."""
VOCAB_SIZE = 4000
"""Half of the default recipe's: it has a tenth of its languages."""
MAX_EPOCHS = 4
"""Of a stream within a curriculum stage, as in the default recipe."""
MIN_CONFIDENCE = 0.1
"""Of the declared language, instead of 0.5."""
NON_ENGLISH_SHARES = (0.3, 0.6)
"""PolyLM's, section 3.3; less where the text does not suffice."""
MAX_BILINGUAL_SHARE = 0.05
PACKAGED_PAIR_CHARACTERS = 10_000
"""Both sides of what the Universal Declaration of Human Rights has of a language, at least."""
HELD_OUT_CHARACTERS = 8_000
"""Wanted of each language for bits per byte, and never more than 3 of 10 documents."""


@dataclass(frozen=True)
class Project:
    """What a new project is made from."""

    name: str
    license: str
    texts: Sequence[OwnText]
    pairs: Sequence[OwnPairs] = ()

    @property
    def languages(self) -> list[str]:
        """English first: the other side of every pair."""
        parts: list[OwnText | OwnPairs] = [*self.texts, *self.pairs]
        named = dict.fromkeys(part.language for part in parts)
        return [ENGLISH, *(code for code in named if code != ENGLISH)]


def recipe_text(default: Path, project: Project) -> str:
    """Return the text of the project's `params.yaml`, made from that of the default recipe."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 100, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    recipe = yaml.load(default.read_text(encoding="utf-8"))
    _set_languages(recipe, project)
    _set_curate(recipe["curate"], project)
    _set_budgets(recipe, project)
    _set_instruct(recipe["instruct"], project)
    recipe["report"] |= _report(project)
    recipe.ca.comment = None  # the head of the default recipe, and what it says of these values
    for section, key in (
        (recipe, "languages"),
        (recipe["curate"]["held_out"], "share_by_source"),
        (recipe["vocab"], "vocab_size"),
        (recipe["instruct"]["cross_lingual"], "hubs"),
        (recipe["instruct"]["cross_lingual"], "pairs_per_further_language"),
    ):
        section.ca.items.pop(key, None)
    out = io.StringIO()
    yaml.dump(recipe, out)
    return _HEAD + out.getvalue()


_HEAD = """\
# Made by `polylm init` from the default recipe of PolyLM; everything that changes a result is here.
# docs/params.md has every key. `polylm doctor` checks what you change, `make run` does the rest.
"""


def _set_languages(recipe: dict[str, Any], project: Project) -> None:
    recipe["languages"] = project.languages
    sources = recipe["ingest"]["sources"]
    for text in project.texts:
        sources[text.source] = {
            "format": "text",
            "document": text.document,
            "language": text.language,
            "license": project.license,
            "files": {file.name: sha256_file(file) for file in text.files},
        }
    for pairs in project.pairs:
        sources[pairs.source] = {
            "format": "tsv",
            "languages": [ENGLISH, pairs.language],
            "license": project.license,
            "files": {pairs.file.name: sha256_file(pairs.file)},
        }
    recipe["ingest"]["pair_languages"] = project.languages[1:]


def _set_curate(curate: dict[str, Any], project: Project) -> None:
    shares = {"udhr": 0.3}  # 31 documents, which have the pairs of most languages
    for text in project.texts:
        wanted = HELD_OUT_CHARACTERS / text.characters
        shares[text.source] = round(min(0.3, max(0.05, wanted)), 3)
    for pairs in project.pairs:
        shares[pairs.source] = round(min(0.3, max(0.05, 40 / pairs.pairs)), 3)
    curate["held_out"] |= {"share_by_source": shares, "min_bytes": 2000, "min_pairs": 4}
    # Lines are sentences, and shorter than the documents that the default is for.
    of_lines = {
        text.language: {"min_words": 4} for text in project.texts if text.document == "line"
    }
    if of_lines:
        curate["rules"]["by_language"] = of_lines
    # Who gives text says what language it is in; lid.176 doubts a third of sentences in Swahili.
    vouched = {text.language: MIN_CONFIDENCE for text in project.texts if text.language != ENGLISH}
    curate["identify"]["min_confidence_by_language"] = vouched
    # Unknown text: half of it may be noise before the stage says so.
    curate["max_drop_share"] = dict.fromkeys(curate["max_drop_share"], 0.5)


def _set_budgets(recipe: dict[str, Any], project: Project) -> None:
    languages = {*project.languages}
    vocab = recipe["vocab"]
    vocab["vocab_size"] = VOCAB_SIZE
    bounds = vocab["gate"].get("by_language", {})
    vocab["gate"] = {
        "by_language": {code: dict(bounds[code]) for code in bounds if code in languages}
    }
    own = TOKENS_PER_CHARACTER * sum(
        text.characters for text in project.texts if text.language != ENGLISH
    )
    batch = int(recipe["pretrain"]["global_batch_tokens"])
    wanted = 2 * MAX_EPOCHS * own / NON_ENGLISH_SHARES[-1]
    tokens = int(min(MAX_TOKENS, max(MIN_TOKENS, wanted))) // (2 * batch) * 2 * batch
    recipe["mix"] |= {"tokens": tokens, "max_epochs": MAX_EPOCHS}
    aligned = TOKENS_PER_CHARACTER * (
        PACKAGED_PAIR_CHARACTERS + sum(pairs.characters for pairs in project.pairs)
    )
    for stage, paper in zip(recipe["mix"]["stages"], NON_ENGLISH_SHARES, strict=True):
        budget = tokens * float(stage["share_of_tokens"])
        bilingual = _share(aligned, budget, MAX_BILINGUAL_SHARE)
        stage["bilingual_share"] = bilingual
        stage["non_english_share"] = _share(own, budget * (1 - bilingual), paper)
    recipe["pretrain"]["validate_every_steps"] = max(20, tokens // batch // 8)
    recipe["pretrain"]["optimizer"]["warmup_tokens"] = max(batch, tokens // 50)


def _share(tokens: float, budget: float, most: float) -> float:
    """Share of a budget that so many tokens fill in all their epochs, rounded down."""
    return int(1000 * min(most, MAX_EPOCHS * tokens / budget)) / 1000


def _set_instruct(instruct: dict[str, Any], project: Project) -> None:
    instruct["max_words"] = 40  # the declaration's sentences are long
    instruct["cross_lingual"] |= {
        "hubs": {ENGLISH: 150},
        "continuations_per_language": 150,
        "pairs_per_further_language": 0,
    }
    written = instruct["self_instruct"]
    taught = [code for code in written["languages"] if code in project.languages]
    written |= {
        "languages": taught or [ENGLISH],
        "languages_per_batch": max(1, min(int(written["languages_per_batch"]), len(taught))),
        "max_generated_tokens": 1000 * max(1, len(taught)),
    }


def _report(project: Project) -> Mapping[str, str]:
    names = [get_language(code).english_name for code in project.languages[1:]]
    return {
        "model_name": project.name,
        "model_license": "other",
        "domain": f"text in {', '.join(names)} given by the maker of this model, software "
        "documentation, interface text and the Universal Declaration of Human Rights",
        "domain_warning": "It is a small model to try a pipeline with, not one to rely on.",
    }
