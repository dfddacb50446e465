"""How sure the language identification is of the text that was kept.

`curate` keeps no probability of a document, only who fell below its threshold. So the held-out
documents, which are drawn by a hash from all that were kept, are asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import median, quantiles

import pyarrow as pa

from polylm_core.artifacts import ShardSet
from polylm_core.identify import Identifier, can_identify
from polylm_core.stages.report.reading import Row, read_table

MAX_DOCUMENTS = 200
"""Of one language, in the order of a hash of their ids: an id begins with its source."""
SAMPLE_CHARACTERS = 1000
"""As `identify.MAX_CHARACTERS`: more text does not change the answer."""
UNSURE = 0.5
"""Below it another language is as probable as this one, or more so."""


def read_identification(shards: ShardSet, languages: Sequence[str]) -> list[Row]:
    """Return language, documents, median, lowest_tenth and unsure_share, by language.

    The figures are none where lid.176 does not know the language.
    """
    return [_of_language(shards, language) for language in languages]


def _of_language(shards: ShardSet, language: str) -> Row:
    none = {"language": language, "documents": 0, "median": None}
    none |= {"lowest_tenth": None, "unsure_share": None}
    if not can_identify(language):
        return none
    table = read_table(shards, f"held_out/documents/{language}", ("id", "text"))
    ids = table["id"].to_pylist()
    drawn = sorted(range(len(ids)), key=lambda row: hashlib.sha256(ids[row].encode()).digest())
    texts = table["text"].take(pa.array(drawn[:MAX_DOCUMENTS], pa.int64())).to_pylist()
    identifier = Identifier(language, ())
    found = [identifier.confidence(text, SAMPLE_CHARACTERS) for text in texts]
    if not found:
        return none
    lowest = quantiles(found, n=10, method="inclusive")[0] if len(found) > 1 else found[0]
    return {
        "language": language,
        "documents": len(found),
        "median": median(found),
        "lowest_tenth": lowest,
        "unsure_share": sum(value < UNSURE for value in found) / len(found),
    }
