"""A model of others as `06_base`: fetched or found, each file checked, published with its proof."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import BaseModelFolder, Mixture, Tokenizer, TokenSet, partial_folder
from polylm_core.errors import StageError
from polylm_core.stages.base import StageRun
from polylm_core.stages.pretrain.drawn import DRAWN_FILE, Counts, write_counts
from polylm_core.stages.pretrain.imported_config import (
    ImportedBaseConfig,
    ImportedPackage,
    unpinned_problem,
)
from polylm_core.stages.pretrain.init_from import fetch_files
from polylm_core.stages.pretrain.sample import held_out_texts
from polylm_core.storage import no_space_named
from polylm_core.teachers.packaged import packaged_file
from polylm_core.token_files import TokenFile
from polylm_core.training.certificate import as_table, require_certificate
from polylm_core.training.job import ModelShape

if TYPE_CHECKING:
    from polylm_core.training.adopt import Adopted

DRAWN_TOKENS = 1 << 19
"""Of a language's text to train on, in the pipeline's own tokens, that are counted: evaluation
holds the model against how often its tokens occur."""


def publish_imported(
    config: ImportedBaseConfig,
    tokenizer: Tokenizer,
    tokens: TokenSet,
    mixture: Mixture,
    run: StageRun,
) -> BaseModelFolder:
    """Publish the declared model.

    Raises StageError when the recipe does not pin it, SourceError or MachineError when a file
    cannot be had or is another, TrainingError when it is no model that can be adopted.
    """
    from polylm_core.training.adopt import adopt, open_model  # torch costs seconds

    folder, gguf_file = _find(config, run)
    adopted = open_model(folder, gguf_file)
    _require_described(config, adopted)
    pieces = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE)
    texts = list(held_out_texts(tokens, pieces, run.languages))
    partial = partial_folder(run.out)
    made = adopt(adopted, texts, partial)
    run.progress.table(
        "parity", as_table(require_certificate(partial)), "The published model and the imported one"
    )
    with no_space_named(partial):
        write_counts(partial / DRAWN_FILE, _drawn(adopted, tokens, pieces, run.languages))
    counts = {"parameters": made.parameters, "license": config.imported.license}
    inputs = {"vocab": tokenizer, "encode": tokens, "mix": mixture}
    return run.publish(BaseModelFolder, partial, config, inputs=inputs, counts=counts)


def _find(config: ImportedBaseConfig, run: StageRun) -> tuple[Path, str | None]:
    """Return the model's folder, and which of its files is a GGUF model."""
    imported = config.imported
    if isinstance(imported, ImportedPackage):
        path = packaged_file(imported, "the base model")
        return path.parent, path.name
    problem = unpinned_problem(imported)
    if problem is not None:
        raise StageError(f"pretrain.imported: {problem}")
    uri = run.source_locations.get(imported.uri, imported.uri)
    pins = {name: sha256 for name, sha256 in imported.sha256.items() if sha256 is not None}
    return fetch_files(uri, pins, run.work / "imported", field="pretrain.imported"), None


def _require_described(config: ImportedBaseConfig, adopted: Adopted) -> None:
    from polylm_core.training.adopt import require_described

    described = config.imported.model
    if described is not None:
        shape = ModelShape(**described.model_dump(), bos_id=0, eos_id=adopted.eos_id, pad_id=0)
        require_described(adopted, shape)


def _drawn(
    adopted: Adopted,
    tokens: TokenSet,
    pieces: tokenizers.SentencePieceTokenizer,
    languages: Iterable[str],
) -> dict[str, Counts]:
    """Count the model's own tokens in each language's text."""
    found = {}
    for code in languages:
        file = TokenFile.open(tokens.path / "train" / code)
        counts = np.zeros(adopted.config.vocab_size, dtype=np.int64)
        read = 0
        for number in range(len(file)):
            begin, end = file.document_span(number)
            ids = adopted.encode(pieces.decode(file.tokens[begin:end].tolist()))
            counts += np.bincount(ids, minlength=len(counts))
            read += end - begin
            if read >= DRAWN_TOKENS:
                break
        found[code] = counts
    return found
