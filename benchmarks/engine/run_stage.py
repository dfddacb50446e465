"""One stage on one folder, for measurements: `python -m benchmarks.engine.run_stage STAGE IN OUT`.

IN is a folder of Parquet files for `ingest`, a sample (`<language>/<NNNNN>.parquet`) for `curate`
alone, otherwise the folder that the stages before wrote their artifacts to. OUT gets the artifact
and `timing.json`: the seconds of the stage alone, without the interpreter's start and the
compilation of curate's kernels.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import yaml

from polylm_core.artifacts import (
    Artifact,
    DocumentSet,
    Mixture,
    ShardSet,
    Tokenizer,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import StageError
from polylm_core.params import Params
from polylm_core.progress import NullProgress
from polylm_core.records import DOCUMENT_SCHEMA, Document, list_parts, read_documents, write_parts
from polylm_core.settings import TrainingExecution
from polylm_core.stages.base import StageRun
from polylm_core.storage import sha256_file

SOURCE = "benchmark"
WARM_DOCUMENTS = 30
"""Documents of a folder that compile the kernels before the clock starts."""
LENIENT_GATE = {
    "max_tokens_per_word": 100.0,
    "max_tokens_per_character": 10.0,
    "max_parity": 100.0,
    "min_bytes_per_token": 1.0,
    "max_byte_fallback_share": 1.0,
}


def document_set(sample: Path, out: Path, *, documents_per_folder: int | None = None) -> None:
    """Publish a sample as a DocumentSet of one source, part by part."""
    numbers: Counter[str] = Counter()

    def rows() -> Iterator[Document]:
        for folder in sorted(path for path in sample.iterdir() if path.is_dir()):
            parts = (row for part in list_parts(folder) for row in read_documents(part))
            for row in islice(parts, documents_per_folder):
                numbers[row.language] += 1
                yield row

    partial = partial_folder(out)
    write_parts(partial / "documents" / SOURCE, rows(), DOCUMENT_SCHEMA)
    counts = {"documents": {SOURCE: dict(sorted(numbers.items()))}}
    publish(DocumentSet, partial, out, inputs={}, params={}, counts=counts)


def stage_run(out: Path, params: Params, workers: int) -> StageRun:
    """Return a run of the recipe's languages that shows no progress."""
    work = out.parent / f"{out.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    backend = LocalBackend(map_workers=workers, training_workers=1, threads_per_worker=1)
    return StageRun(
        seed=params.seed,
        languages=params.languages,
        out=out,
        work=work,
        kept=work,
        backend=backend,
        progress=NullProgress(),
        training=TrainingExecution(),
    )


def run_ingest(source: Path, out: Path, params: Params, workers: int) -> Artifact:
    """Read the Parquet files of a folder as one source."""
    from polylm_core.stages.ingest.config import ParquetSource
    from polylm_core.stages.ingest.stage import ingest

    declared = ParquetSource(
        format="parquet",
        license="as the corpus",
        files={path.name: sha256_file(path) for path in sorted((source / SOURCE).iterdir())},
        id_column="id",
        url_column="url",
        language_column="language",
    )
    config = params.ingest.model_copy(update={"sources": {SOURCE: declared}})
    return ingest(config, source, stage_run(out / "01_documents", params, workers))


def run_curate(source: Path, out: Path, params: Params, workers: int) -> Artifact:
    """Curate a DocumentSet."""
    from polylm_core.stages.curate.stage import curate

    documents = DocumentSet.load(source / "01_documents")
    return curate(params.curate, documents, stage_run(out / "02_shards", params, workers))


def run_vocab(source: Path, out: Path, params: Params, workers: int) -> Artifact:
    """Train the tokenizer on the shards."""
    from polylm_core.stages.vocab.stage import vocab

    shards = ShardSet.load(source / "02_shards")
    return vocab(params.vocab, shards, stage_run(out / "03_tokenizer", params, workers))


def run_encode(source: Path, out: Path, params: Params, workers: int) -> Artifact:
    """Encode the shards."""
    from polylm_core.stages.encode.stage import encode

    shards, tokenizer = ShardSet.load(source / "02_shards"), Tokenizer.load(source / "03_tokenizer")
    run = stage_run(out / "04_tokens", params, workers)
    return encode(params.encode, shards, tokenizer, run)


def run_mix(source: Path, out: Path, params: Params, workers: int) -> Mixture:
    """Solve the mixture of the encoded streams."""
    from polylm_core.stages.mix.stage import mix

    tokens = TokenSet.load(source / "04_tokens")
    return mix(params.mix, tokens, stage_run(out / "05_mixture", params, workers))


RUNS: dict[str, Callable[[Path, Path, Params, int], Artifact]] = {
    "ingest": run_ingest,
    "curate": run_curate,
    "vocab": run_vocab,
    "encode": run_encode,
    "mix": run_mix,
}


def read_params(path: Path, held_out_share: float = 0.2) -> Params:
    """Read a recipe that asks for no more than a sample has: no pairs, no limits."""
    content = yaml.safe_load(path.read_text("utf-8"))
    content["curate"]["held_out"]["min_bytes"] = 0
    content["curate"]["held_out"]["share"] = held_out_share
    content["curate"]["max_drop_share"] = {}
    content["vocab"]["gate"] = LENIENT_GATE
    for stage in content["mix"]["stages"]:
        stage["bilingual_share"] = 0.0
    return Params.model_validate(content)


def warm_up(sample: Path, folder: Path, params: Params) -> None:
    """Compile curate's kernels by a run on some documents of a sample."""
    document_set(sample, folder / "01_documents", documents_per_folder=WARM_DOCUMENTS)
    with contextlib.suppress(StageError):  # a language without text in so few documents
        run_curate(folder, folder, params, 1)
    shutil.rmtree(folder)


def main() -> None:
    """Run the stage and write how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=RUNS)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--warm-with", type=Path, help="a sample that compiles curate's kernels")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--held-out-share", type=float, default=0.2, help="much, so that a small sample has some"
    )
    arguments = parser.parse_args()
    params = read_params(arguments.params, arguments.held_out_share)
    work, source, out = RUNS[arguments.stage], arguments.source, arguments.out
    if arguments.stage == "curate":
        warm_up(arguments.warm_with, out / "warm", params)
        if not (source / "01_documents").is_dir():
            document_set(source, out / "01_documents")
            source = out
    begin = time.perf_counter()
    work(source, out, params, arguments.workers)
    seconds = time.perf_counter() - begin
    (out / "timing.json").write_text(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
