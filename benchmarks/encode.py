"""Throughput of `encode` beside SentencePiece's own two threads: `python -m benchmarks.encode`.

Both encode the same text of 18 languages in one run, in turns: SentencePiece from a list in memory
to lists of ids (`encode(num_threads=2)`), ours as the stage does it, two processes from Parquet
parts to token files with their checksums. Every id is compared. Processes are started and models
loaded before the clock runs; ours also reports what that takes. Ends with status 1 when a
median of the rounds' ratios is below the floor or an id differs.
"""

from __future__ import annotations

import argparse
import json
import lzma
import multiprocessing
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import sentencepiece
from tqdm import tqdm

from polylm_core import tokenizer as tk
from polylm_core.records import DOCUMENT_SCHEMA, Document, read_documents, write_parts
from polylm_core.stages.encode import part
from polylm_core.stages.encode.part import EncodePart, encode_part
from polylm_core.storage import sha256_file, write_atomic
from polylm_core.token_files import TokenFile

FLOOR = 2.0
"""How many times SentencePiece's throughput ours must have."""
PROCESSES = 2
ROUNDS, QUICK_ROUNDS = 5, 3
VOCAB_SIZES, QUICK_VOCAB_SIZES = (8_000, 64_000), (8_000,)
QUICK_DOCUMENTS = 250
"""Documents of each language in a quick run."""
SAMPLE_BYTES = 400_000
"""Text of each part that a tokenizer is trained on."""
CHUNK_BYTES = 48_000_000
"""Text that SentencePiece gets in one call; its ids are Python numbers, 10 bytes a byte."""
PAUSE_SECONDS = 1.0
"""A process that is ready waits this long, so that the other one takes the other call."""
SOURCES, KEYS = Path("data/00_sources"), "keys.txt.xz"
RESULTS = Path("benchmarks/results/encode.json")


@dataclass
class Round:
    """Seconds of one round."""

    ours: float = 0.0
    sentencepiece: float = 0.0


@dataclass
class Comparison:
    """One tokenizer over the whole text."""

    vocab_size: int
    startup_seconds: float
    rounds: list[Round] = field(default_factory=list)
    tokens: int = 0
    different_documents: int = 0


def source_documents(folder: Path, language: str) -> Iterator[Document]:
    """Yield the documents of one language of an aligned source."""
    with (
        lzma.open(folder / KEYS, "rt", encoding="utf-8", newline="\n") as keys,
        lzma.open(folder / f"{language}.txt.xz", "rt", encoding="utf-8", newline="\n") as lines,
    ):
        units = zip((key.split("\t")[0] for key in keys), lines, strict=True)
        for key, group in groupby(units, key=lambda unit: unit[0]):
            text = "\n".join(line.rstrip("\n") for _, line in group if line != "\n")
            if text:
                yield Document(f"{folder.name}/{language}/{key}", text, language, folder.name, "")


def default_parts(out: Path, documents: int | None) -> list[Path]:
    """Write the committed sources as tables by language; returns their parts."""
    names = sorted(file.name for file in (SOURCES / "chromium-l10n").glob("*_*.txt.xz"))
    for name in names:
        sources = [f for f in sorted(SOURCES.glob(f"*/{name}")) if (f.parent / KEYS).is_file()]
        language = name.split(".")[0]
        rows = (row for file in sources for row in source_documents(file.parent, language))
        write_parts(out / language, islice(rows, documents), DOCUMENT_SCHEMA)
    return sorted(out.rglob("*.parquet"))


def sample(parts: Sequence[Path]) -> Iterator[str]:
    """Yield lines of every second document of each part, up to `SAMPLE_BYTES`."""
    for path in parts:
        size = 0
        for document in islice(read_documents(path), 0, None, 2):
            if size > SAMPLE_BYTES:
                break
            size += len(document.text.encode())
            yield from document.text.split("\n")


def chunks(parts: Sequence[Path]) -> Iterator[tuple[list[str], list[int]]]:
    """Yield texts of several parts and the number of each part's."""
    texts: list[str] = []
    numbers: list[int] = []
    size = 0
    for path in parts:
        own = [document.text for document in read_documents(path)]
        texts += own
        numbers.append(len(own))
        size += sum(len(text.encode()) for text in own)
        if size > CHUNK_BYTES:
            yield texts, numbers
            texts, numbers, size = [], [], 0
    if numbers:
        yield texts, numbers


def warm(units: Sequence[EncodePart]) -> None:
    """Load the model and the native code in this process."""
    part._encoder(units[0].model, units[0].model_sha256).encode(pa.array(["warm"]))
    time.sleep(PAUSE_SECONDS)


def run_ours(units: Sequence[EncodePart], pool: Executor) -> float:
    """Encode every part into token files; returns seconds."""
    shutil.rmtree(units[0].stem.parents[1], ignore_errors=True)
    begin = time.perf_counter()
    list(pool.map(encode_part, units))
    return time.perf_counter() - begin


def run_sentencepiece(units: Sequence[EncodePart], result: Comparison) -> float:
    """Encode every part with SentencePiece, and compare the ids; returns seconds of the first."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(units[0].model))
    files = [TokenFile.open(unit.stem) for unit in units]
    seconds = 0.0
    done = tokens = different = 0
    for texts, numbers in chunks([unit.source for unit in units]):
        begin = time.perf_counter()
        encoded = processor.encode(texts, num_threads=PROCESSES)
        seconds += time.perf_counter() - begin
        ids = iter(encoded)
        for file, number in zip(files[done:], numbers, strict=False):
            tokens += len(file.tokens)
            for document in range(number):
                expected = [*next(ids), tk.EOS_ID]
                different += not np.array_equal(file.document(document), expected)
        done += len(numbers)
    result.tokens, result.different_documents = tokens, different
    return seconds


def compare(parts: Sequence[Path], vocab_size: int, work: Path, rounds: int) -> Comparison:
    """Train a tokenizer of that size and run both, in turns."""
    model = work / f"{vocab_size}.model"
    model.write_bytes(
        tk.train_sentencepiece(sample(parts), vocab_size=vocab_size, character_coverage=0.9995)
    )
    digest = sha256_file(model)
    out = work / f"tokens-{vocab_size}"
    stems = [out / path.parent.name / path.stem for path in parts]
    units = [
        EncodePart(
            split="train",
            stream=stem.parent.name,
            kind="documents",
            source=path,
            model=model,
            model_sha256=digest,
            stem=stem,
            seed=0,
            pair_layouts={},
            max_tokens=None,
        )
        for path, stem in zip(parts, stems, strict=True)
    ]
    units.sort(key=lambda unit: -unit.source.stat().st_size)
    context = multiprocessing.get_context("forkserver")
    begin = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        list(pool.map(warm, [units] * PROCESSES))
        result = Comparison(vocab_size, time.perf_counter() - begin - PAUSE_SECONDS)
        for _ in tqdm(range(rounds), desc=f"{vocab_size} entries"):
            ours = run_ours(units, pool)
            result.rounds.append(Round(ours, run_sentencepiece(units, result)))
    return result


def figures(result: Comparison, megabytes: float) -> tuple[dict[str, object], bool]:
    """The result as JSON, medians over the rounds, and whether it is good enough."""
    ratios = [r.sentencepiece / r.ours for r in result.rounds]
    ratio = statistics.median(ratios)
    return {
        "vocab_size": result.vocab_size,
        "ratio": round(ratio, 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ours_mb_per_s": round(megabytes / statistics.median(r.ours for r in result.rounds), 2),
        "sentencepiece_mb_per_s": round(
            megabytes / statistics.median(r.sentencepiece for r in result.rounds), 2
        ),
        "startup_seconds": round(result.startup_seconds, 2),
        "tokens": result.tokens,
        "different_documents": result.different_documents,
    }, ratio >= FLOOR and not result.different_documents


def cpu_model() -> str:
    """Name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def main() -> int:
    """Compare on the text asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="folder of Parquet parts of documents")
    parser.add_argument("--quick", action="store_true", help="a part of the text, three rounds")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if arguments.corpus:
            parts = sorted(arguments.corpus.rglob("*.parquet"))
        else:
            parts = default_parts(work / "text", QUICK_DOCUMENTS if quick else None)
        texts = [len(d.text.encode()) for path in parts for d in read_documents(path)]
        sizes = QUICK_VOCAB_SIZES if quick else VOCAB_SIZES
        rounds = QUICK_ROUNDS if quick else ROUNDS
        runs = [figures(compare(parts, size, work, rounds), sum(texts) / 1e6) for size in sizes]
    languages = {path.parent.name for path in parts}
    result = {
        "benchmark": "encode",
        "floor": FLOOR,
        "text": {"languages": len(languages), "documents": len(texts), "bytes": sum(texts)},
        "runs": [run for run, _ in runs],
        "processes": PROCESSES,
        "cpu": cpu_model(),
        "versions": {name: version(name) for name in ("numba", "numpy", "sentencepiece")},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(arguments.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result))
    return int(not all(good for _, good in runs))


if __name__ == "__main__":
    sys.exit(main())
