"""What makes curate fail: a language without text, or one that a filter nearly wipes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polylm_core.errors import StageError
from polylm_core.languages import ENGLISH
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.finish import Finished, FinishUnit
from polylm_core.stages.curate.ledger import FILTERS, Ledger

Parts = Sequence[tuple[FinishUnit, Finished]]


def require_shares(config: CurateConfig, languages: Iterable[str], books: Ledger) -> None:
    """Raise StageError naming every filter that took more of a language than is allowed.

    A crawl has documents in languages that the recipe does not ask for: all of those go. Pairs are
    kept in every language, and judged.
    """
    problems = []
    limits: dict[str, float] = {str(name): n for name, n in config.max_drop_share.items()}
    for passage in books.passages():
        limit = limits.get(passage.filter)
        if limit is None or passage.items_in < config.min_judged_items:
            continue
        if passage.kind != "pairs" and passage.language not in languages:
            continue
        # A filter of lines takes bytes and hardly a document.
        share = 1 - min(
            passage.items_out / passage.items_in, passage.bytes_out / max(passage.bytes_in, 1)
        )
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


def require_held_out(config: CurateConfig, languages: Iterable[str], held_out: Parts) -> None:
    """Raise StageError for the languages of the recipe with too little held-out text or pairs."""
    problems = []
    for language in languages:
        parts = [(unit.kind, done) for unit, done in held_out if unit.language == language]
        seen = sum(done.bytes for kind, done in parts if kind == "documents")
        if seen < config.held_out.min_bytes:
            problems.append(
                f"{language} has {seen:,} bytes of held-out text, curate.held_out.min_bytes asks "
                f"for {config.held_out.min_bytes:,}"
            )
        pairs = sum(done.rows for kind, done in parts if kind == "pairs")
        if pairs < config.held_out.min_pairs and language != ENGLISH:
            problems.append(
                f"{language} has {pairs:,} held-out pairs with English, "
                f"curate.held_out.min_pairs asks for {config.held_out.min_pairs:,}"
            )
    if problems:
        raise StageError(
            f"curate: {'; '.join(problems)}; add text or pairs, or hold out more of a source "
            f"(curate.held_out.share_by_source; of the others {config.held_out.share} is held out)"
        )


def require_prepared(languages: Iterable[str], books: Ledger) -> None:
    """Raise StageError for the languages of the recipe of which no document passed the rules."""
    passed = {
        row.language: row.items_out
        for row in books.passages()
        if row.kind == "documents" and row.filter == "rules"
    }
    _require(books, [language for language in languages if not passed.get(language)])


def require_documents(languages: Iterable[str], books: Ledger, train: Parts) -> None:
    """Raise StageError for the languages of the recipe without a document to train on."""
    written = {unit.language for unit, done in train if unit.kind == "documents" and done.rows > 0}
    _require(books, [language for language in languages if language not in written])


def _require(books: Ledger, missing: Sequence[str]) -> None:
    problems = [
        f"{language} has no document to train on ({_last_filter(books, language)})"
        for language in missing
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
