"""BLEU, spBLEU and chrF++ of translations, by sacrebleu, with the bootstrap over sentences.

BLEU counts words as in `translation.py`: sacrebleu's rule `zh` for Chinese, characters for other
scripts without spaces between words. spBLEU (Goyal et al. 2021, arXiv 2106.03193) counts the pieces
of FLORES-200's SentencePiece model, which sacrebleu fetches when it is first asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.utils import SACREBLEU_DIR

from polylm_core.errors import MachineError
from polylm_core.languages import get_language
from polylm_core.stages.evaluate.intervals import percentile_interval, resamples

Pair = Sequence[str]
"""Reference, output and FLORES-200 code of the language written."""
SPBLEU_MODEL = "flores200sacrebleuspm"
FETCH_SPBLEU = (
    "python -c \"from sacrebleu.metrics import BLEU; BLEU(tokenize='flores200').corpus_score("
    "['a'], [['a']])\""
)


def score_sentence(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Pair]:
    """What all three metrics are computed from."""
    pair = (str(doc["reference"]), results[0].strip(), str(doc["target_code"]))
    return {"chrf++": pair, "bleu": pair, "spbleu": pair}


def word_rule(language: str) -> str:
    """The sacrebleu rule that cuts a language into words."""
    entry = get_language(language)
    if entry.words == "spaces":
        return "13a"
    return "zh" if entry.script in ("Hans", "Hant") else "char"


def chrf(language: str) -> Metric:
    """Make chrF++: chrF with words of up to two (Popović 2017)."""
    del language
    return CHRF(word_order=2)


def bleu(language: str) -> Metric:
    """Make BLEU over words."""
    return BLEU(tokenize=word_rule(language))


def spbleu(language: str) -> Metric:
    """Make BLEU over pieces; raises MachineError where the model cannot be had."""
    del language
    return _spbleu()


@functools.cache
def _spbleu() -> Metric:
    if not (Path(SACREBLEU_DIR) / "models" / SPBLEU_MODEL).is_file():
        raise MachineError(
            "spBLEU is left out, as sacrebleu's SentencePiece model of FLORES-200 is not in "
            f"{SACREBLEU_DIR}; fetch it with `{FETCH_SPBLEU}` and run again"
        )
    return BLEU(tokenize="flores200")


def estimate(
    make: Callable[[str], Metric], pairs: Sequence[Pair], samples: int, seed: int
) -> tuple[float, float, float]:
    """Corpus score and 95 % interval; sacrebleu's statistics are sums over sentences."""
    metric = make(pairs[0][2])
    references, outputs = [[pair[0] for pair in pairs]], [pair[1] for pair in pairs]
    value = metric.corpus_score(outputs, references).score
    statistics = np.array(metric._extract_corpus_statistics(outputs, references))
    draws = resamples(len(pairs), samples, seed, "corpus")
    drawn = [
        metric._compute_score_from_stats(total.tolist()).score
        for total in statistics[draws].sum(axis=1)
    ]
    low, high = percentile_interval(np.array(drawn))
    return float(value), low, high


def not_here(pairs: Sequence[Pair]) -> float:
    """What the harness is told: scores are computed from the items, with their intervals."""
    del pairs
    return float("nan")


CORPUS: Mapping[str, Callable[[Sequence[Any], int, int], tuple[float, float, float]]] = {
    "corpus chrf++": functools.partial(estimate, chrf),
    "corpus bleu": functools.partial(estimate, bleu),
    "corpus spbleu": functools.partial(estimate, spbleu),
}
"""Estimates by the name that the catalogue uses."""
