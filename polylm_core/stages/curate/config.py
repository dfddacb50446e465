"""The `curate` section of `params.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from polylm_core.stages.base import StageConfig
from polylm_core.stages.curate.quality_config import ModelFile, QualityConfig
from polylm_core.stages.curate.rules_config import RulesConfig

FilterName = Literal[
    "opt-out",
    "repair",
    "identify",
    "foreign-lines",
    "rules",
    "quality",
    "exact-duplicates",
    "near-duplicates",
    "repeated-lines",
    "decontaminate",
]
"""The filters in the order they are applied."""


class ForeignLinesConfig(StageConfig):
    """Lines in another language than their document's; PolyLM has no such step."""

    min_letters: int = Field(default=60, ge=1)
    """Shorter lines are not judged: identification of a few words is a guess."""
    min_confidence: float = Field(default=0.8, gt=0, le=1)
    """A line is foreign when another language is this probable."""


class IdentifyConfig(StageConfig):
    """Language identification with fastText's lid.176 (PolyLM §3.1 names the method only)."""

    model: ModelFile | None = None
    """Another fastText classifier (`.bin`, `.ftz`) whose labels are those of lid.176, GlotLID or
    OpenLID; its file lies where the profile says. None is lid.176, which is installed."""
    sample_characters: int = Field(gt=0)
    """Letters of a document that are looked at; all of one of at most twice as many bytes."""
    sample_windows: int = Field(default=8, ge=1)
    """Equal stretches of a longer document whose first letters they are. With 1,000 letters, the
    most probable language is that of the whole text for 99.6 % of 7,200 documents in 18 languages
    (98.6 % when all are from the start)."""
    min_confidence: float = Field(ge=0, le=1)
    """A document is kept when its claimed, or else most probable, language is this probable."""
    pair_min_confidence: float = Field(ge=0, le=1)
    """The same for a side of a pair; lower, because one sentence is weaker evidence."""
    pair_min_characters: int = Field(gt=0)
    """A side of a pair that is shorter, without digits and punctuation, is not judged."""
    min_confidence_by_language: Mapping[str, float] = {}
    """Other thresholds for documents of single languages, before those of `known_languages.py`."""
    also_accepted: Mapping[str, tuple[str, ...]] = {}
    """Close relatives whose probability counts for a language, since lid.176 mixes them up."""
    cousins: Mapping[str, tuple[str, ...]] = {}
    """Relatives that a language must be told from: a second look, at `second_look_characters`,
    must find the language more probable than each."""
    second_look_characters: int = Field(default=10_000, gt=0)
    foreign_lines: ForeignLinesConfig | None = None
    """Remove lines in other languages; none leaves them."""


class NearDuplicatesConfig(StageConfig):
    """MinHash-LSH over all documents of a language (PolyLM §3.1 names the method only).

    Documents of Jaccard similarity s meet with probability 1 - (1 - s^rows)^bands: 0.9998 at 0.8
    with these figures, 0.924 with FineWeb's 14 bands of 8 (arXiv 2406.17557 §3.4). Those that met
    are compared exactly unless their signatures leave no doubt.
    """

    min_jaccard: float = Field(default=0.8, gt=0, le=1)
    bands: int = Field(default=20, ge=2)
    rows: int = Field(default=5, ge=1)
    """Hashes of a band; bands * rows permutations in all."""
    shingle_words: int = Field(default=5, ge=1)
    shingle_characters: int = Field(default=10, ge=1)
    """Shingle length in languages without spaces between words."""


class PairsConfig(StageConfig):
    """Rules for aligned pairs."""

    max_length_ratio: float = Field(gt=1)
    """Longer side by shorter side in letters, each divided by its language's usual length."""
    min_judged_characters: int = Field(ge=0)
    """Pairs in which neither side is longer are not judged by their ratio."""


class HeldOutConfig(StageConfig):
    """Documents kept for evaluation: the same ones in every language, and their pairs."""

    share: float = Field(gt=0, lt=1)
    """Share of the documents, drawn by a seeded hash of the document's key."""
    share_by_source: Mapping[str, float] = {}
    """Other shares for single sources, such as one of few documents in many languages."""
    min_bytes: int = Field(ge=0)
    """A language of the recipe with less held-out text is an error."""
    min_pairs: int = Field(default=0, ge=0)
    """A language of the recipe with fewer held-out pairs with English is an error: what later
    stages would lack is told here, before the model is trained."""


class DecontaminateConfig(StageConfig):
    """Training lines that share an n-gram with a held-out line are removed.

    13 words as in GPT-3 (arXiv 2005.14165, appendix C). A line shorter than the n-gram is removed
    when it equals a held-out line.
    """

    ngram_words: int = Field(default=13, ge=2)
    ngram_characters: int = Field(default=30, ge=2)
    """N-gram length in languages without spaces between words."""


class RepeatedLinesConfig(StageConfig):
    """Lines that many documents of a language have: menus, footers, licences.

    CCNet (Wenzek et al., arXiv 1911.00359 §3.1) leaves one copy of every paragraph; here a line
    must stand in more documents than is usual for a quotation, and its first copy stays.
    """

    max_documents: int = Field(ge=1)
    """A line in more documents stays only in the one whose key comes first."""
    min_letters: int = Field(default=20, ge=1)
    """Shorter lines may come again: headings, names, answers."""


class OptOutConfig(StageConfig):
    """Text that may not be used, whatever its quality."""

    ids: tuple[str, ...] = ()
    """Ids of documents."""
    domains: tuple[str, ...] = ()
    """Domains of documents' addresses; `example.org` means its subdomains too."""


class CurateConfig(StageConfig):
    """Which documents and pairs are good enough to train on, and which are kept for evaluation."""

    opt_out: OptOutConfig = OptOutConfig()
    max_word_characters: int = Field(gt=0)
    """A longer run without a space is not a word (base64, minified code) and is cut out."""
    min_copied_letters: int | None = Field(default=None, gt=0)
    """Lines of at least this many letters that equal an English line of any source are
    untranslated and left out; none leaves them. Every English line's hash is held (8 bytes)."""
    identify: IdentifyConfig
    mask_personal_data: bool = True
    """E-mail addresses, IP addresses and telephone numbers become placeholders."""
    rules: RulesConfig
    quality: QualityConfig = QualityConfig()
    near_duplicates: NearDuplicatesConfig = NearDuplicatesConfig()
    repeated_lines: RepeatedLinesConfig | None = None
    """Remove lines that many documents have; none leaves them."""
    pairs: PairsConfig
    held_out: HeldOutConfig
    decontaminate: DecontaminateConfig
    max_drop_share: Mapping[FilterName, float] = {}
    """Share of a language's documents (or pairs) that a filter may take, by filter; the stage
    fails when one takes more. A filter without an entry may take all but the last one."""
    min_judged_items: int = Field(default=50, ge=1)
    """Languages with fewer items are not judged by `max_drop_share`."""
