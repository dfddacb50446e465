"""`encode`: curated text and a tokenizer in; Megatron-compatible token files by stream out.

A stream is a language's documents, or its pairs with English, languages beyond the recipe's
included. Each document ends with `</s>` (id 2), so training can pack them one after the other.
Parts of the tables are encoded apart, then put together in order.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import ShardSet, Tokenizer, TokenSet, partial_folder
from polylm_core.errors import StageError
from polylm_core.records import list_parts
from polylm_core.restart import code_identity
from polylm_core.stages.base import StageRun
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.join import StreamJoin, join_stream
from polylm_core.stages.encode.part import EncodePart, PartCounts, encode_part, files_of
from polylm_core.storage import link_or_copy, no_space_named, sha256_file

FOLDER_BY_SPLIT = {"train": "", "held_out": "held_out"}

Counts = dict[str, dict[str, PartCounts]]
"""By split and stream."""


def encode(config: EncodeConfig, shards: ShardSet, tokenizer: Tokenizer, run: StageRun) -> TokenSet:
    """Encode every stream of the shards."""
    parts = run.work / "parts"
    units = _units(
        config, shards, tokenizer, run, parts / code_identity("encode", "numba", "sentencepiece")
    )
    counts = _encode_parts(units, run)
    _require_training_text(counts, run.languages)
    partial = partial_folder(run.out)
    _join_streams(units, counts, parts / "joined", tokenizer, run)
    with no_space_named(partial):
        for split, streams in counts.items():
            for stream in streams:
                _publish_stream(parts / "joined" / split / stream, partial / split)
    run.progress.table("tokens", _rows(counts), "Tokens by stream")
    made = run.publish(
        TokenSet,
        partial,
        config,
        inputs={"curate": shards, "vocab": tokenizer},
        counts={
            split: {stream: asdict(counted) for stream, counted in sorted(streams.items())}
            for split, streams in counts.items()
        },
    )
    shutil.rmtree(parts)
    return made


def _units(
    config: EncodeConfig, shards: ShardSet, tokenizer: Tokenizer, run: StageRun, work: Path
) -> list[EncodePart]:
    """All parts of all streams, in order."""
    model = tokenizer.path / tokenizers.MODEL_FILE
    model_sha256 = sha256_file(model)

    def units(stream: str, kind: Literal["documents", "pairs"], language: str) -> list[EncodePart]:
        tables = {
            split: shards.path / folder / kind / language
            for split, folder in FOLDER_BY_SPLIT.items()
        }
        return [
            EncodePart(
                split=split,
                stream=stream,
                kind=kind,
                source=source,
                model=model,
                model_sha256=model_sha256,
                stem=work / split / stream / source.stem,
                seed=run.seed,
                pair_layouts=config.pair_layouts,
                max_tokens=config.max_tokens_per_document,
            )
            for split, table in tables.items()
            if table.is_dir()
            for source in list_parts(table)
        ]

    streams = [units(code, "documents", code) for code in run.languages]
    streams += [units(f"eng_Latn-{code}", "pairs", code) for code in _paired_languages(shards)]
    return [unit for stream in streams for unit in stream]


def _paired_languages(shards: ShardSet) -> list[str]:
    folders = [shards.path / folder / "pairs" for folder in FOLDER_BY_SPLIT.values()]
    return sorted({table.name for folder in folders for table in folder.glob("*")})


def _encode_parts(units: Sequence[EncodePart], run: StageRun) -> Counts:
    """Counts of the splits that have documents; the largest parts come first, none waits last."""
    ordered = sorted(units, key=lambda unit: (-unit.source.stat().st_size, unit.stem))
    counts: Counts = {split: {} for split in FOLDER_BY_SPLIT}
    with run.progress.track("encode", total=len(ordered), noun="parts") as tracker:
        for unit, counted in zip(ordered, run.backend.map(encode_part, ordered), strict=True):
            streams = counts[unit.split]
            streams[unit.stream] = streams.get(unit.stream, PartCounts()) + counted
            tracker.advance(note=unit.stream)
    return {
        split: {stream: counted for stream, counted in streams.items() if counted.documents}
        for split, streams in counts.items()
    }


def _require_training_text(counts: Counts, languages: tuple[str, ...]) -> None:
    empty = [code for code in languages if code not in counts["train"]]
    if empty:
        raise StageError(
            f"{', '.join(empty)}: no training documents in the shards; "
            "add a source for the language, or take it out of `languages`"
        )


def _join_streams(
    units: Sequence[EncodePart], counts: Counts, joined: Path, tokenizer: Tokenizer, run: StageRun
) -> None:
    vocab_size = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE).vocab_size
    joins = [
        StreamJoin(
            parts=tuple(u.stem for u in units if (u.split, u.stream) == (split, stream)),
            stem=joined / split / stream,
            vocab_size=vocab_size,
        )
        for split, streams in counts.items()
        for stream in streams
    ]
    with run.progress.track("join", total=len(joins), noun="streams") as tracker:
        with no_space_named(joined):
            for join, _ in zip(joins, run.backend.map(join_stream, joins), strict=True):
                tracker.advance(note=join.stem.name)


def _publish_stream(stem: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files_of(stem):
        link_or_copy(str(file), str(folder / file.name))


def _rows(counts: Counts) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for stream in sorted({stream for streams in counts.values() for stream in streams}):
        own = {split: streams[stream] for split, streams in counts.items() if stream in streams}
        tokens = {f"{split} tokens": counted.tokens for split, counted in own.items()}
        documents = sum(counted.documents for counted in own.values())
        rows.append({"stream": stream, **tokens, "documents": documents})
    return rows
