"""`vocab`: curated documents in; a SentencePiece model, its Hugging Face twin and fertility out.

The vocabulary is learned from a small sample balanced over the languages, then checked: the stage
fails rather than publish two tokenizers that disagree, or one that loses text.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from polylm_core.artifacts import ShardSet, Tokenizer, partial_folder
from polylm_core.records import write_table
from polylm_core.stages.base import StageRun
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.fertility import (
    FERTILITY_SCHEMA,
    Fertility,
    FertilityUnit,
    measure,
)
from polylm_core.stages.vocab.sample import (
    SampleUnit,
    count_bytes,
    sample_lines,
    share_budget,
)
from polylm_core.storage import no_space_named, write_atomic
from polylm_core.tokenizer import (
    MODEL_FILE,
    TWIN_FOLDER,
    export_huggingface,
    train_sentencepiece,
)


def vocab(config: VocabConfig, shards: ShardSet, run: StageRun) -> Tokenizer:
    """Learn one vocabulary for all languages of the recipe."""
    samples = _draw_samples(config, shards, run)
    partial = partial_folder(run.out)
    with run.progress.track("learn vocabulary", total=1, noun="models") as tracker:
        model = train_sentencepiece(
            chain.from_iterable(samples.values()),
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
        )
        tracker.advance()
    write_atomic(partial / MODEL_FILE, model)
    export_huggingface(model, partial / TWIN_FOLDER)
    rows = _measure(config, shards, partial, run)
    with no_space_named(partial):
        write_table(partial / "fertility.parquet", rows, FERTILITY_SCHEMA)
    run.progress.table("fertility", [_readable_row(row) for row in rows], "Tokens by language")
    return run.publish(
        Tokenizer,
        partial,
        config,
        inputs={"curate": shards},
        counts={
            "sample_bytes": {
                code: sum(len(line.encode()) for line in lines) for code, lines in samples.items()
            },
            "vocab_size": config.vocab_size,
            "lines_checked": {row.language: row.lines_checked for row in rows},
        },
    )


def _draw_samples(config: VocabConfig, shards: ShardSet, run: StageRun) -> dict[str, list[str]]:
    files = {code: shards.path / "documents" / code for code in run.languages}
    sizes = dict(zip(files, run.backend.map(count_bytes, list(files.values())), strict=True))
    budget = share_budget(
        sizes, sample_bytes=config.sample_bytes, exponent=config.sampling_exponent
    )
    units = [
        SampleUnit(documents=files[code], seed=run.seed, budget_bytes=budget[code])
        for code in budget
    ]
    samples: dict[str, list[str]] = {}
    with run.progress.track("draw sample", total=len(units), noun="languages") as tracker:
        for code, lines in zip(budget, run.backend.map(sample_lines, units), strict=True):
            samples[code] = lines
            tracker.advance(note=code)
    return samples


def _measure(
    config: VocabConfig, shards: ShardSet, tokenizer: Path, run: StageRun
) -> list[Fertility]:
    units = [
        FertilityUnit(
            language=code,
            shards=shards.path,
            tokenizer=tokenizer,
            seed=run.seed,
            lines=config.checked_lines_per_language,
        )
        for code in run.languages
    ]
    rows = []
    with run.progress.track("check and measure", total=len(units), noun="languages") as tracker:
        for row in run.backend.map(measure, units):
            rows.append(row)
            tracker.advance(note=row.language)
    return rows


def _readable_row(row: Fertility) -> dict[str, object]:
    return {
        "language": row.language,
        "tokens a word": f"{row.tokens_per_word:.2f} ({row.word_unit})",
        "bytes a token": f"{row.bytes_per_token:.2f}",
        "byte fallback": f"{row.byte_fallback_share:.1%}",
        "parity to English": "" if row.parity is None else f"{row.parity:.2f}",
    }
