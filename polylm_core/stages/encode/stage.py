"""`encode`: curated text and a tokenizer in; Megatron-compatible token files by stream out.

A stream is a language's documents, or its pairs with English, languages beyond the recipe's
included. Each document ends with `</s>` (id 2), so training can pack them one after the other.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from polylm_core import records, token_files
from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import ShardSet, Tokenizer, TokenSet, partial_folder
from polylm_core.errors import StageError
from polylm_core.stages.base import StageRun
from polylm_core.stages.encode import stream
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stream import (
    SPLITS,
    EncodeUnit,
    SplitCounts,
    encode_stream,
    split_files,
)
from polylm_core.storage import fingerprint, no_space_named, sha256_file

FOLDER_BY_SPLIT = {"train": "", "held_out": "held_out"}


def encode(config: EncodeConfig, shards: ShardSet, tokenizer: Tokenizer, run: StageRun) -> TokenSet:
    """Encode every stream of the shards."""
    streams = run.work / "streams"
    work = streams / _made_by()
    work.mkdir(parents=True, exist_ok=True)
    units = _units(config, shards, tokenizer, run, work)
    counts: dict[str, dict[str, SplitCounts]] = {}
    with run.progress.track("encode", total=len(units), noun="streams") as tracker:
        for unit, splits in zip(units, run.backend.map(encode_stream, units), strict=True):
            counts[unit.stream] = {
                split: counted for split, counted in splits.items() if counted.documents
            }
            tracker.advance(note=unit.stream)
    _require_training_text(counts, run.languages)
    partial = partial_folder(run.out)
    with no_space_named(partial):
        for stream, splits in counts.items():
            for split in splits:
                _copy_split(work, partial, split, stream)
    run.progress.table("tokens", _rows(counts), "Tokens by stream")
    made = run.publish(
        TokenSet,
        partial,
        config,
        inputs={"curate": shards, "vocab": tokenizer},
        counts={
            split: {
                stream: asdict(splits[split])
                for stream, splits in sorted(counts.items())
                if split in splits
            }
            for split in SPLITS
        },
    )
    shutil.rmtree(streams)
    return made


def _made_by() -> str:
    """Name what writes a stream: a stream that other code finished is not taken for ours."""
    modules = (stream, token_files, tokenizers, records)
    code = {module.__name__: sha256_file(Path(str(module.__file__))) for module in modules}
    return fingerprint({**code, "sentencepiece": version("sentencepiece")})[:16]


def _units(
    config: EncodeConfig, shards: ShardSet, tokenizer: Tokenizer, run: StageRun, work: Path
) -> list[EncodeUnit]:
    """All streams, largest first, so that no long one is left for the end."""

    def unit(stream: str, kind: Literal["documents", "pairs"], language: str) -> EncodeUnit:
        files = {
            split: shards.path / folder / kind / language
            for split, folder in FOLDER_BY_SPLIT.items()
        }
        return EncodeUnit(
            stream=stream,
            kind=kind,
            sources=tuple((split, file) for split, file in files.items() if file.is_dir()),
            model=tokenizer.path / tokenizers.MODEL_FILE,
            out=work,
            seed=run.seed,
            max_tokens=config.max_tokens_per_document,
        )

    units = [unit(code, "documents", code) for code in run.languages]
    units += [unit(f"eng_Latn-{code}", "pairs", code) for code in _paired_languages(shards)]

    def size(unit: EncodeUnit) -> int:
        return sum(part.stat().st_size for _, table in unit.sources for part in table.iterdir())

    return sorted(units, key=lambda unit: (-size(unit), unit.stream))


def _require_training_text(
    counts: dict[str, dict[str, SplitCounts]], languages: tuple[str, ...]
) -> None:
    empty = [code for code in languages if "train" not in counts[code]]
    if empty:
        raise StageError(
            f"{', '.join(empty)}: no training documents in the shards; "
            "add a source for the language, or take it out of `languages`"
        )


def _paired_languages(shards: ShardSet) -> list[str]:
    folders = [shards.path / folder / "pairs" for folder in FOLDER_BY_SPLIT.values()]
    return sorted({part.name for folder in folders for part in folder.glob("*")})


def _copy_split(work: Path, partial: Path, split: str, stream: str) -> None:
    # Copied, not moved: a stage killed between here and the manifest still has its work.
    for file in split_files(work, split, stream):
        target = partial / file.relative_to(work)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _rows(counts: dict[str, dict[str, SplitCounts]]) -> list[dict[str, object]]:
    return [
        {
            "stream": stream,
            **{f"{split} tokens": splits[split].tokens for split in SPLITS if split in splits},
            "documents": sum(split.documents for split in splits.values()),
        }
        for stream, splits in sorted(counts.items())
    ]
