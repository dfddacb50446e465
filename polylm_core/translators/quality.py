"""How much of a text survives the way there and back (TaCo, arXiv 2311.10797, its README).

A sample goes from the source language into the target language and back, and is compared with what
it was by sacrebleu: BLEU, chrF++ and TER. It flatters, as the same translator goes both ways; it
finds a language that the translator does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from polylm_core.languages import get_language
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.protection import has_letters

DECIMALS = 2
TOKENIZERS = {"zho_Hans": "zh", "zho_Hant": "zh", "yue_Hant": "zh"}
"""sacrebleu's, by language. Other languages without spaces are compared by characters: its
tokenizers for Japanese and Korean and its SentencePiece model are not installed with it."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What became of a sample."""

    texts: str
    """What it was drawn from."""
    language: str
    """The target language; the scores are of the source language's texts."""
    samples: int
    """Texts that came back."""
    refused: int
    """Texts that were not translated back."""
    bleu: float
    chrf_plus_plus: float
    ter: float
    """Edits per hundred words: the lower the better."""
    tokenizer: str
    """Of BLEU."""

    def row(self) -> dict[str, object]:
        """The row of a table."""
        return asdict(self)


def sample_of(texts: Sequence[str], seed: int, count: int) -> list[str]:
    """Texts with letters in an order that the seed decides, at most so many."""
    worded = dict.fromkeys(text for text in texts if has_letters(text))
    return sorted(worded, key=lambda text: _place(seed, text))[:count]


def _place(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\x1fround trip\x1f{text}".encode()).digest()


def round_trip(
    bureau: Bureau, known: Mapping[str, str], source: str, target: str, *, texts: str, seed: int
) -> Quality:
    """Send a sample of texts' translations back; raises TranslatorError or TeacherError.

    `known` has the translation of each text, and `texts` says what they are.
    """
    sample = sample_of(list(known), seed, bureau.config.round_trip_samples)
    back = bureau.translate([known[text] for text in sample], target, source)
    pairs = [(text, made.text) for text, made in zip(sample, back, strict=True) if not made.refusal]
    return compare(pairs, source, target, texts=texts, refused=len(sample) - len(pairs))


def compare(
    pairs: Sequence[tuple[str, str]], source: str, target: str, *, texts: str, refused: int
) -> Quality:
    """Compare texts of the source language with what came back."""
    by_characters = get_language(source).words == "none"
    tokenizer = TOKENIZERS.get(source, "char" if by_characters else "13a")
    references = [" ".join(text.split()) for text, _ in pairs]
    hypotheses = [" ".join(text.split()) for _, text in pairs]

    def score(metric: BLEU | CHRF | TER) -> float:
        if not pairs:
            return 0.0
        return round(float(metric.corpus_score(hypotheses, [references]).score), DECIMALS)

    return Quality(
        texts,
        target,
        samples=len(pairs),
        refused=refused,
        bleu=score(BLEU(tokenize=tokenizer)),
        chrf_plus_plus=score(CHRF(word_order=2)),
        ter=score(TER(normalized=by_characters, asian_support=by_characters)),
        tokenizer=tokenizer,
    )
