"""What makes curate fail: a language without text, or one that a filter nearly wipes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polylm_core.errors import StageError
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.finish import Finished, FinishUnit
from polylm_core.stages.curate.ledger import FILTERS, Ledger

Parts = Sequence[tuple[FinishUnit, Finished]]


def require_shares(config: CurateConfig, books: Ledger) -> None:
    """Raise StageError naming every filter that took more of a language than is allowed."""
    problems = []
    for passage in books.passages():
        limit = config.max_drop_share.get(passage.filter)
        if limit is None or passage.items_in < config.min_judged_items:
            continue
        share = 1 - passage.items_out / passage.items_in
        if share > limit:
            reasons = _reasons(books, passage.language, passage.kind, passage.filter)
            problems.append(
                f"{passage.language}: filter {passage.filter!r} took {share:.1%} of "
                f"{passage.items_in:,} {passage.kind} ({reasons}), "
                f"curate.max_drop_share.{passage.filter} allows {limit:.1%}"
            )
    if problems:
        raise StageError(
            "curate: " + "; ".join(problems) + "; look at the reasons, then change the language's "
            "thresholds (curate.rules.by_language, `polylm calibrate`) or the limit"
        )


def require_held_out(
    config: CurateConfig, languages: Iterable[str], books: Ledger, held_out: Parts
) -> None:
    """Raise StageError for the languages of the recipe with too little held-out text."""
    problems = []
    for language in languages:
        seen = sum(
            done.bytes
            for unit, done in held_out
            if unit.language == language and unit.kind == "documents"
        )
        if seen < config.held_out.min_bytes:
            problems.append(f"{language} has {seen:,} bytes")
    if problems:
        raise StageError(
            f"curate: too little held-out text: {', '.join(problems)}; curate.held_out.min_bytes "
            f"asks for {config.held_out.min_bytes:,}; raise curate.held_out.share (now "
            f"{config.held_out.share}), or share_by_source, or add text"
        )


def require_documents(languages: Iterable[str], books: Ledger, train: Parts) -> None:
    """Raise StageError for the languages of the recipe without a document to train on."""
    problems = [
        f"{language} has no document to train on ({_last_filter(books, language)})"
        for language in languages
        if not sum(
            done.rows
            for unit, done in train
            if unit.language == language and unit.kind == "documents"
        )
    ]
    if problems:
        raise StageError(
            f"curate: {'; '.join(problems)}; loosen the thresholds of that filter in the params "
            "section `curate`, or add text"
        )


def _last_filter(books: Ledger, language: str) -> str:
    """The filter that took a language's last document, with its reasons."""
    took = [
        row.filter
        for row in books.attrition()
        if row.language == language and row.kind == "documents"
    ]
    if not took:
        return "the sources have none, or all are held out"
    last = max(took, key=FILTERS.index)
    return f"none left after filter {last!r}: {_reasons(books, language, 'documents', last)}"


def _reasons(books: Ledger, language: str, kind: str, filter: str) -> str:
    return ", ".join(
        f"{row.reason} {row.items:,}"
        for row in books.attrition()
        if (row.language, row.kind, row.filter) == (language, kind, filter)
    )
