"""Everything the report is made of, read from the artifacts and checked for completeness.

In: artifacts. Out: rows as dictionaries, in the order of the files. A file or a column that is not
there is an error that names the stage to run again: a report with a silent gap would be believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import safe_open

from polylm_core.artifacts import (
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    DocumentSet,
    InstructionSet,
    Mixture,
    Scores,
    ShardSet,
    Tokenizer,
    TokenSet,
)
from polylm_core.errors import CorruptArtifactError, MismatchedArtifactError
from polylm_core.languages import UNDETERMINED
from polylm_core.records import list_parts

Row = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """The artifacts of one run, in the order of the data."""

    documents: DocumentSet
    shards: ShardSet
    tokenizer: Tokenizer
    tokens: TokenSet
    mixture: Mixture
    base: BaseModelFolder
    instructions: InstructionSet
    chat: ChatModelFolder
    scores: Scores

    def all(self) -> tuple[Artifact, ...]:
        """Every artifact, in the order of the data."""
        return (
            self.documents,
            self.shards,
            self.tokenizer,
            self.tokens,
            self.mixture,
            self.base,
            self.instructions,
            self.chat,
            self.scores,
        )


@dataclass(frozen=True)
class Material:
    """What the report shows."""

    sources: list[Row]
    """source, license, languages, documents, bytes, pairs."""
    kept: list[Row]
    """language, documents, bytes (to train on), held_out_bytes, pairs."""
    attrition: list[Row]
    fertility: list[Row]
    mixture: list[Row]
    """stage, stream, tokens, epochs."""
    base_curves: list[Row]
    """Empty where the base model is imported."""
    chat_curves: list[Row]
    scores: list[Row]
    funnel: list[Row]
    measures: list[Row]
    """origin, language, measure, count; none where nothing was measured."""
    answers: list[Row]
    lineage: list[Row]
    """artifact, folder, stage, fingerprint, inputs (stage, fingerprint), bytes."""
    parameters: int
    """Weights of the base model."""
    context_tokens: int | None
    """Longest text of the base model; none when its manifest does not say."""
    repetition_penalty: float
    """With which `evaluate` decoded; 1 is none."""
    adapter: str | None = None
    """Which adapter of the chat model was scored with it."""

    @property
    def is_trained(self) -> bool:
        """Whether the base model was trained in this run; else it is imported."""
        return bool(self.base_curves)


ATTRITION_COLUMNS = ("language", "kind", "filter", "reason", "items", "bytes")
FERTILITY_COLUMNS = (
    *("language", "bytes", "tokens", "words", "tokens_per_word", "bytes_per_token"),
    *("byte_fallback_share", "parity"),
)
CURVE_COLUMNS = ("step", "metric", "language", "value")
SCORE_COLUMNS = (
    *("model", "suite", "metric", "language"),
    *("value", "low", "high", "items", "baseline"),
)
FUNNEL_COLUMNS = ("origin", "language", "round", "reason", "count")
MEASURE_COLUMNS = ("origin", "language", "measure", "count")
ANSWER_COLUMNS = (
    *("id", "language", "prompt_language", "prompt", "reference", "answer"),
    *("stopped", "identified_label", "in_language"),
)


def read_material(inputs: Inputs, languages: Sequence[str]) -> Material:
    """Read all that the report shows; raises ArtifactError."""
    return Material(
        lineage=_lineage(inputs.all()),
        sources=_sources(inputs.documents, languages),
        kept=[_kept(inputs.shards, language) for language in languages],
        attrition=_rows(inputs.shards, "attrition.parquet", ATTRITION_COLUMNS),
        fertility=_rows(inputs.tokenizer, "fertility.parquet", FERTILITY_COLUMNS),
        mixture=_mixture(inputs.mixture),
        base_curves=_base_curves(inputs.base),
        chat_curves=_rows(inputs.chat, "curves.parquet", CURVE_COLUMNS),
        scores=_rows(inputs.scores, "scores.parquet", SCORE_COLUMNS),
        funnel=_rows(inputs.instructions, "funnel.parquet", FUNNEL_COLUMNS),
        measures=_table(inputs.instructions, "measures.parquet", MEASURE_COLUMNS).to_pylist(),
        answers=_rows(inputs.scores, "predictions/answers.parquet", ANSWER_COLUMNS),
        parameters=_parameters(inputs.base),
        context_tokens=_context_tokens(inputs.base),
        repetition_penalty=inputs.scores.manifest.params.get("repetition_penalty", 1.0),
        adapter=inputs.scores.manifest.params.get("adapter"),
    )


def _is_imported(base: BaseModelFolder) -> bool:
    return "imported" in base.manifest.params


def _base_curves(base: BaseModelFolder) -> list[Row]:
    return [] if _is_imported(base) else _rows(base, "curves.parquet", CURVE_COLUMNS)


def _context_tokens(base: BaseModelFolder) -> int | None:
    params = base.manifest.params
    described = params["imported"].get("model") if _is_imported(base) else params.get("model")
    return (described or {}).get("context_tokens")


def _missing(artifact: Artifact, name: str, what: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        f"{artifact.path / name}: {what}, which the report needs; "
        f"run `dvc repro --force {artifact.stage}`"
    )


def _table(artifact: Artifact, name: str, columns: Sequence[str]) -> pa.Table:
    path = artifact.path / name
    if not path.exists():
        raise _missing(artifact, name, "no such table")
    present = pq.read_schema(list_parts(path)[0]).names
    absent = [column for column in columns if column not in present]
    if absent:
        raise _missing(artifact, name, f"no column {', '.join(absent)}")
    return pq.read_table(path, columns=list(columns))


def _rows(artifact: Artifact, name: str, columns: Sequence[str]) -> list[Row]:
    rows: list[Row] = _table(artifact, name, columns).to_pylist()
    if not rows:
        raise _missing(artifact, name, "no rows")
    return rows


def _text_bytes(table: pa.Table, column: str = "text") -> int:
    return int(pc.sum(pc.binary_length(table[column])).as_py() or 0)


def _sources(documents: DocumentSet, languages: Sequence[str]) -> list[Row]:
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
                    "languages": len({*held, *pairs} - {UNDETERMINED}),
                    "documents": sum(held.values()),
                    "bytes": sum(sizes[code] for code in held),
                    "pairs": sum(pairs.values()),
                }
            )
    return rows


def _kept(shards: ShardSet, language: str) -> Row:
    documents = _table(shards, f"documents/{language}", ("text",))
    held_out = _table(shards, f"held_out/documents/{language}", ("text",))
    pairs = f"pairs/{language}"
    has_pairs = (shards.path / pairs).is_dir()  # English has none with itself
    return {
        "language": language,
        "documents": documents.num_rows,
        "bytes": _text_bytes(documents),
        "held_out_bytes": _text_bytes(held_out),
        "pairs": _table(shards, pairs, ("id",)).num_rows if has_pairs else 0,
    }


def _mixture(mixture: Mixture) -> list[Row]:
    name = "mixture.json"
    try:
        stages = json.loads((mixture.path / name).read_text(encoding="utf-8"))["stages"]
        return [
            {
                "stage": str(stage["name"]),
                "stream": stream,
                "tokens": int(draw["tokens"]),
                "epochs": float(draw["epochs"]),
            }
            for stage in stages
            for stream, draw in sorted(stage["streams"].items())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _missing(mixture, name, f"not a list of stages with streams ({error!r})") from error


def _parameters(base: BaseModelFolder) -> int:
    files = sorted(base.path.glob("*.safetensors"))
    if not files:
        raise _missing(base, "model.safetensors", "no such file")
    return sum(_weights(file) for file in files)


def _weights(file: Path) -> int:
    total = 0
    with safe_open(file, framework="numpy") as weights:
        for name in weights.keys():
            size = 1
            for length in weights.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def _lineage(artifacts: Iterable[Artifact]) -> list[Row]:
    """What came from what; raises MismatchedArtifactError when a parent is another one's."""
    here: dict[str, Artifact] = {}
    rows = []
    for artifact in artifacts:
        inputs = artifact.manifest.inputs
        for stage, seen in sorted(inputs.items()):
            if stage in here and here[stage].fingerprint != seen:
                raise MismatchedArtifactError(
                    f"{artifact.path} was made from another {here[stage].path.name} than the one "
                    f"here ({stage} {seen[:12]}, here {here[stage].fingerprint[:12]}); "
                    f"run `dvc repro {artifact.stage}`"
                )
        here[artifact.stage] = artifact
        rows.append(
            {
                "artifact": type(artifact).__name__,
                "folder": artifact.path.name,
                "stage": artifact.stage,
                "fingerprint": artifact.fingerprint,
                "inputs": sorted(inputs.items()),
                "bytes": sum(entry.bytes for entry in artifact.manifest.files.values()),
            }
        )
    return rows
