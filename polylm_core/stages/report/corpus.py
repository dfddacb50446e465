"""The text of a run in figures: of each source, and of each language what was kept."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.languages import UNDETERMINED
from polylm_core.stages.report.reading import Row, read_table


def _text_bytes(table: pa.Table, column: str = "text") -> int:
    return int(pc.sum(pc.binary_length(table[column])).as_py() or 0)


def read_sources(documents: DocumentSet, languages: Sequence[str]) -> list[Row]:
    """Documents of each source in the recipe's languages or in none it says, and its pairs."""
    counts = documents.counts
    known = {*languages, UNDETERMINED}
    rows: list[Row] = []
    for source in sorted({*counts["documents"], *counts["pairs"]}):
        held = {code: n for code, n in counts["documents"].get(source, {}).items() if code in known}
        sizes = counts["document_bytes"].get(source, {})
        pairs = counts["pairs"].get(source, {})
        if held or pairs:
            rows.append(
                {
                    "source": source,
                    "license": counts["licenses"][source],
                    "identity": counts["source_fingerprints"][source],
                    "languages": len({*held, *pairs} - {UNDETERMINED}),
                    "documents": sum(held.values()),
                    "bytes": sum(sizes[code] for code in held),
                    "pairs": sum(pairs.values()),
                }
            )
    return rows


def read_kept(shards: ShardSet, language: str) -> Row:
    """language, documents, bytes (to train on), held_out_bytes and pairs."""
    documents = read_table(shards, f"documents/{language}", ("text",))
    held_out = read_table(shards, f"held_out/documents/{language}", ("text",))
    pairs = f"pairs/{language}"
    has_pairs = (shards.path / pairs).is_dir()  # English has none with itself
    return {
        "language": language,
        "documents": documents.num_rows,
        "bytes": _text_bytes(documents),
        "held_out_bytes": _text_bytes(held_out),
        "pairs": read_table(shards, pairs, ("id",)).num_rows if has_pairs else 0,
    }


def read_kept_by_source(shards: ShardSet) -> list[Row]:
    """What of each source was kept, by language, whether to train on or held out.

    Of all languages there are: pairs come in more than those of the recipe.
    """
    sums: dict[tuple[str, str], Row] = {}
    for language in sorted({path.name for path in shards.path.glob("**/[a-z][a-z][a-z]_*")}):
        for kind, column in (("documents", "text"), ("pairs", "text_b")):
            for path in (f"{kind}/{language}", f"held_out/{kind}/{language}"):
                if (shards.path / path).is_dir():
                    _add_by_source(sums, read_table(shards, path, ("source", column)), language)
    return [
        {"source": source, "language": language, **row}
        for (source, language), row in sorted(sums.items())
    ]


def _add_by_source(sums: dict[tuple[str, str], Row], table: pa.Table, language: str) -> None:
    kind = "documents" if "text" in table.column_names else "pairs"
    column = table.column_names[1]
    sized = table.append_column("bytes", pc.binary_length(table[column]))
    parts = sized.group_by("source").aggregate([("bytes", "sum"), ("bytes", "count")])
    for found in parts.to_pylist():
        row = sums.setdefault((found["source"], language), {"documents": 0, "bytes": 0, "pairs": 0})
        row[kind] += found["bytes_count"]
        row["bytes"] += found["bytes_sum"] if kind == "documents" else 0
