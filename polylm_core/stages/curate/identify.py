"""The first filter of documents: is a text in the language its source claims?

A text's own language, and the close relatives declared for it, share their probabilities: what is
asked is "could this be Indonesian", not "is Indonesian ahead of Malay".
"""

from __future__ import annotations

from polylm_core.identify import can_identify, identifier_of
from polylm_core.records import Document
from polylm_core.stages.curate.config import IdentifyConfig
from polylm_core.stages.curate.ledger import Ledger
from polylm_core.stages.curate.normalise import Prepared

FILTER = "identify"


def identify(
    documents: list[Prepared], ledger: Ledger, language: str, config: IdentifyConfig
) -> list[Prepared]:
    """Keep the documents that are in the language they claim; all of a language without a label."""
    if not can_identify(language):
        return documents
    identifier = identifier_of(language, config.also_accepted.get(language, ()))
    threshold = config.min_confidence_by_language.get(language, config.min_confidence)
    kept = []
    for prepared in documents:
        document: Document = prepared.document
        confidence = identifier.confidence(document.text, config.sample_characters)
        if confidence >= threshold:
            kept.append(prepared)
        else:
            reason = "other-language" if confidence < threshold / 2 else "unsure-language"
            ledger.drop("documents", document.id, FILTER, reason, document.text)
    return kept
