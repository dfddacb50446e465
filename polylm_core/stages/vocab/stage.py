"""`vocab`: curated documents in; a SentencePiece model, its Hugging Face twin and fertility out.

The vocabulary is learned from a bounded sample balanced over the languages, or imported, and then
checked: the stage fails rather than publish two tokenizers that disagree, one that loses text, or
one that costs a language more than the recipe allows.
"""

from __future__ import annotations

from pathlib import Path

from polylm_core.artifacts import ShardSet, Tokenizer, partial_folder
from polylm_core.errors import StageError
from polylm_core.records import write_table
from polylm_core.stages.base import StageRun
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.fertility import (
    FERTILITY_SCHEMA,
    Fertility,
    FertilityUnit,
    Measured,
    measure,
)
from polylm_core.stages.vocab.gate import GATE_SCHEMA, judge, require_passed
from polylm_core.stages.vocab.imported import import_model
from polylm_core.stages.vocab.learn import Learned, learn
from polylm_core.storage import no_space_named, write_atomic
from polylm_core.tokenizer import MODEL_FILE, TWIN_FOLDER, export_huggingface, load


def vocab(config: VocabConfig, shards: ShardSet, run: StageRun) -> Tokenizer:
    """Make one vocabulary for all languages of the recipe.

    Raises StageError that names every language for which it does not pass the gate.
    """
    strangers = sorted(config.gate.by_language.keys() - set(run.languages))
    if strangers:
        raise StageError(
            f"vocab.gate.by_language: {', '.join(strangers)} not among `languages`; remove them"
        )
    if config.imported is None:
        learned = learn(config, shards, run)
    else:
        learned = Learned(import_model(config.imported, run.work), {}, {})
    partial = partial_folder(run.out)
    write_atomic(partial / MODEL_FILE, learned.model)
    export_huggingface(learned.model, partial / TWIN_FOLDER)
    measured = _measure(config, shards, partial, run)
    rows = [language.row for language in measured]
    verdicts = [verdict for row in rows if row.tokens for verdict in judge(row, config.gate)]
    run.progress.table("fertility", [_readable_row(row) for row in rows], "Tokens by language")
    require_passed(
        config,
        measured,
        verdicts,
        sample_bytes=learned.sample_bytes,
        language_bytes=learned.language_bytes,
    )
    with no_space_named(partial):
        write_table(partial / "fertility.parquet", rows, FERTILITY_SCHEMA)
        write_table(partial / "gate.parquet", verdicts, GATE_SCHEMA)
    counts = {
        "sample_bytes": learned.sample_bytes,
        "vocab_size": load(partial / MODEL_FILE).vocab_size,
        "lines_checked": {row.language: row.lines_checked for row in rows},
    }
    return run.publish(Tokenizer, partial, config, inputs={"curate": shards}, counts=counts)


def _measure(
    config: VocabConfig, shards: ShardSet, tokenizer: Path, run: StageRun
) -> list[Measured]:
    units = [
        FertilityUnit(
            language=code,
            shards=shards.path,
            tokenizer=tokenizer,
            lines=config.checked_lines_per_language,
            max_bytes=config.measured_bytes_per_language,
        )
        for code in run.languages
    ]
    measured = []
    with run.progress.track("check and measure", total=len(units), noun="languages") as tracker:
        for language in run.backend.map(measure, units):
            measured.append(language)
            tracker.advance(note=language.row.language)
    return measured


def _readable_row(row: Fertility) -> dict[str, object]:
    return {
        "language": row.language,
        "tokens a word": f"{row.tokens_per_word:.2f} ({row.word_unit})",
        "bytes a token": f"{row.bytes_per_token:.2f}",
        "byte fallback": f"{row.byte_fallback_share:.1%}",
        "parity to English": "" if row.parity is None else f"{row.parity:.2f}",
    }
