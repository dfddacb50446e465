"""Everything the report is made of, read from the artifacts.

In: artifacts. Out: rows as dictionaries, in the order of the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from polylm_core.stages.report.corpus import read_kept, read_kept_by_source, read_sources
from polylm_core.stages.report.identification import read_identification
from polylm_core.stages.report.lineage import read_lineage
from polylm_core.stages.report.reading import Row, missing, read_rows, read_table


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
    """source, license, identity (sha256 of what pins it), languages, documents, bytes, pairs."""
    kept: list[Row]
    """language, documents, bytes (to train on), held_out_bytes, pairs."""
    kept_by_source: list[Row]
    """source, language, documents, bytes, pairs: what curation kept, held-out text with it."""
    attrition: list[Row]
    passages: list[Row]
    """language, kind, filter, items_in, bytes_in, items_out, bytes_out."""
    samples: list[Row]
    """language, kind, filter, verdict, reason, id, text: of what each filter took and let pass."""
    identification: list[Row]
    """language, documents, median, lowest_tenth, unsure_share."""
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
    """artifact, folder, stage, fingerprint, inputs (stage, fingerprint), bytes, params, files."""
    parameters: int
    """Weights of the base model."""
    context_tokens: int | None
    """Longest text of the base model; none when its manifest does not say."""
    repetition_penalty: float
    """With which `evaluate` decoded; 1 is none."""
    hub_datasets: list[str] = field(default_factory=list)
    """Sources that are data sets of the Hugging Face hub."""
    hub_base: str | None = None
    """On the hub, the model that was imported or gone on from; none where it is not from there."""
    is_continued: bool = False
    """Whether training went on from another's model."""
    validated_tokens: int | None = None
    """Held-out tokens a language behind the curve of pretraining; none where nothing is trained."""
    compression: Row | None = None
    """`evaluate`'s bounds of the text that bits per byte are measured on."""
    adapter: str | None = None
    """Which adapter of the chat model was scored with it."""

    @property
    def is_trained(self) -> bool:
        """Whether the base model was trained in this run; else it is imported."""
        return bool(self.base_curves)


ATTRITION_COLUMNS = ("language", "kind", "filter", "reason", "items", "bytes")
PASSAGE_COLUMNS = (
    *("language", "kind", "filter"),
    *("items_in", "bytes_in", "items_out", "bytes_out"),
)
SAMPLE_COLUMNS = ("language", "kind", "filter", "verdict", "reason", "id", "text")
FERTILITY_COLUMNS = (
    *("language", "bytes", "tokens", "words", "tokens_per_word", "bytes_per_token"),
    *("byte_fallback_share", "parity"),
)
CURVE_COLUMNS = ("step", "metric", "language", "value")
SCORE_COLUMNS = (
    *("model", "suite", "metric", "language"),
    *("value", "low", "high", "items", "baseline"),
)
STANDARD_ERROR = "_stderr"
"""Ends the harness's metrics that the intervals of the others say already."""
FUNNEL_COLUMNS = ("origin", "language", "round", "reason", "count")
MEASURE_COLUMNS = ("origin", "language", "measure", "count")
ANSWER_COLUMNS = (
    *("id", "language", "prompt_language", "prompt", "reference", "answer"),
    *("stopped", "identified_label", "in_language"),
)


def read_material(inputs: Inputs, languages: Sequence[str]) -> Material:
    """Read all that the report shows; raises ArtifactError."""
    return Material(
        lineage=read_lineage(inputs.all()),
        sources=read_sources(inputs.documents, languages),
        kept=[read_kept(inputs.shards, language) for language in languages],
        kept_by_source=read_kept_by_source(inputs.shards),
        attrition=read_rows(inputs.shards, "attrition.parquet", ATTRITION_COLUMNS),
        passages=read_rows(inputs.shards, "filters.parquet", PASSAGE_COLUMNS),
        samples=read_table(inputs.shards, "samples.parquet", SAMPLE_COLUMNS).to_pylist(),
        identification=read_identification(inputs.shards, languages),
        fertility=read_rows(inputs.tokenizer, "fertility.parquet", FERTILITY_COLUMNS),
        mixture=_mixture(inputs.mixture),
        base_curves=_base_curves(inputs.base),
        chat_curves=read_rows(inputs.chat, "curves.parquet", CURVE_COLUMNS),
        scores=[
            row
            for row in read_rows(inputs.scores, "scores.parquet", SCORE_COLUMNS)
            if not row["metric"].endswith(STANDARD_ERROR)
        ],
        funnel=read_rows(inputs.instructions, "funnel.parquet", FUNNEL_COLUMNS),
        measures=read_table(inputs.instructions, "measures.parquet", MEASURE_COLUMNS).to_pylist(),
        answers=read_rows(inputs.scores, "predictions/answers.parquet", ANSWER_COLUMNS),
        parameters=_parameters(inputs.base),
        context_tokens=_context_tokens(inputs.base),
        repetition_penalty=inputs.scores.manifest.params.get("repetition_penalty", 1.0),
        hub_datasets=[
            str(source["dataset"])
            for _, source in sorted(inputs.documents.manifest.params.get("sources", {}).items())
            if source.get("format") == "huggingface"
        ],
        hub_base=_hub_name(_begun_from(inputs.base).get("uri", "")),
        is_continued=bool(_begun_from(inputs.base)) and not _is_imported(inputs.base),
        validated_tokens=inputs.base.manifest.params.get("validation_tokens_per_language"),
        compression=inputs.scores.manifest.params.get("compression"),
        adapter=inputs.scores.manifest.params.get("adapter"),
    )


def _is_imported(base: BaseModelFolder) -> bool:
    return "imported" in base.manifest.params


def _begun_from(base: BaseModelFolder) -> dict[str, Any]:
    """What the base model is, or what its training went on from; empty where it is of this run."""
    params = base.manifest.params
    return params.get("imported") or params.get("init_from") or {}


def _hub_name(uri: str) -> str | None:
    """`organisation/name` of `hf://organisation/name@commit`."""
    found = re.match(r"hf://([\w.-]+/[\w.-]+)", uri)
    return found[1] if found else None


def _base_curves(base: BaseModelFolder) -> list[Row]:
    return [] if _is_imported(base) else read_rows(base, "curves.parquet", CURVE_COLUMNS)


def _context_tokens(base: BaseModelFolder) -> int | None:
    params = base.manifest.params
    described = params["imported"].get("model") if _is_imported(base) else params.get("model")
    return (described or {}).get("context_tokens")


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
        raise missing(mixture, name, f"not a list of stages with streams ({error!r})") from error


def _parameters(base: BaseModelFolder) -> int:
    files = sorted(base.path.glob("*.safetensors"))
    if not files:
        raise missing(base, "model.safetensors", "no such file")
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
