"""Speed and memory of the data order of pretraining: `python -m benchmarks.loader`.

Loading: batches of int32 from memory-mapped token files of PolyLM's streams, with the files in the
page cache; by width of the stored ids and length of the context, attention across documents on and
off. Resuming: opening the files of a simulated token set of 10**12 tokens in 10**9 documents
(sparse files) and finding the windows of a step, at steps all over the run. Seconds are those of
one core (processor time of user and system), so that other processes do not count. Ends with status
1 when loading is below 100 million tokens a second, resuming takes more than 5 ms at any step, or
memory grows. `--quick` takes smaller files and fewer steps, and keeps no result.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import tell
from polylm_core.languages import ENGLISH, POLYLM_LANGUAGES
from polylm_core.token_files import TokenFileWriter, bin_path
from polylm_core.token_index import (
    DTYPE_BY_CODE,
    HEADER,
    MAGIC,
    OFFSET,
    SIZE,
    VERSION,
    idx_path,
)
from polylm_core.training.curriculum import windows_of_stage
from polylm_core.training.job import CurriculumData
from polylm_core.training.order import curriculum_order

FLOOR_TOKENS_PER_SECOND = 100e6
CEILING_RESUME_MS = 5.0
CEILING_GROWTH_BATCHES = 1.0
"""Anonymous memory that may be added between the first steps and the last."""
PACKAGES = ("polylm", "numpy")
STREAMS = (*POLYLM_LANGUAGES, *(f"{ENGLISH}-{c}" for c in POLYLM_LANGUAGES if c != ENGLISH))
VOCAB_BY_WIDTH = {"uint16": 64_000, "int32": 256_000}
CONTEXTS = (256, 2048, 4096)
BATCH_TOKENS = 1 << 20
MEAN_DOCUMENT_TOKENS = 600
TOKENS, QUICK_TOKENS = 400_000_000, 40_000_000
STEPS, QUICK_STEPS = 60, 15
SIMULATED_TOKENS, SIMULATED_DOCUMENTS = 10**12, 10**9
POSITIONS, QUICK_POSITIONS = 200, 50
TRIES = 3
"""Each position is resumed at so often, and the fastest counts."""


def write_streams(folder: Path, tokens: int, vocab_size: int) -> None:
    """Write random tokens as documents of random lengths, as many for each stream."""
    draw = np.random.default_rng(1)
    for name in STREAMS:
        with TokenFileWriter(folder / name, vocab_size=vocab_size) as writer:
            while writer.tokens < tokens // len(STREAMS):
                sizes = draw.geometric(1 / MEAN_DOCUMENT_TOKENS, 1000)
                writer.add_batch(draw.integers(0, vocab_size, sizes.sum()), sizes)


def write_simulated(folder: Path) -> None:
    """Write sparse files with the sizes of a trillion tokens; only what opening reads is there."""
    folder.mkdir()
    code = 4
    dtype = DTYPE_BY_CODE[code]
    tokens, documents = (n // len(STREAMS) for n in (SIMULATED_TOKENS, SIMULATED_DOCUMENTS))
    last = tokens // documents
    places = HEADER.size + SIZE.itemsize * documents
    bounds = places + OFFSET.itemsize * documents
    for name in STREAMS:
        with bin_path(folder / name).open("wb") as file:
            file.truncate(tokens * dtype.itemsize)
        with idx_path(folder / name).open("wb") as file:
            file.write(HEADER.pack(MAGIC, VERSION, code, documents, documents + 1))
            file.seek(places - SIZE.itemsize)
            file.write(np.asarray([last], SIZE).tobytes())
            file.seek(bounds - OFFSET.itemsize)
            file.write(np.asarray([(tokens - last) * dtype.itemsize], OFFSET).tobytes())
            file.seek(bounds + OFFSET.itemsize * documents)
            file.write(np.asarray([documents], OFFSET).tobytes())


def describe(folder: Path, tokens: int, context: int, *, attend: bool) -> CurriculumData:
    """Describe a run of two curriculum stages that reads so many tokens."""
    batch = BATCH_TOKENS // context
    stages = []
    for number, english in enumerate((0.7, 0.4)):
        shares = {name: (1 - english) / (len(STREAMS) - 1) for name in STREAMS} | {ENGLISH: english}
        draws = {name: int(share * tokens / 2) for name, share in shares.items()}
        windows = windows_of_stage(draws, context_tokens=context, global_batch_windows=batch)
        stages.append((f"stage-{number}", windows))
    return CurriculumData(
        tokens_fingerprint="benchmark",
        stream_files={name: folder / name for name in STREAMS},
        stage_windows=stages,
        context_tokens=context,
        global_batch_windows=batch,
        attend_across_documents=attend,
    )


def anonymous_bytes() -> int:
    """Return the process's own memory; mapped pages of files are the page cache's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def measure_loading(folder: Path, tokens: int, steps: int) -> Iterator[dict[str, Any]]:
    """Yield speed and growth of memory for each context, attention across documents on and off."""
    for context in CONTEXTS:
        for attend in (True, False):
            order = curriculum_order(describe(folder, tokens, context, attend=attend), seed=1)
            chosen = [step % order.num_steps for step in range(steps + 3)]
            for step in chosen[:3]:
                order.batch(step)
            before, seconds = anonymous_bytes(), []
            for step in chosen[3:]:
                started = time.process_time()
                order.batch(step)
                seconds.append(time.process_time() - started)
            yield {
                "context_tokens": context,
                "attend_across_documents": attend,
                "million_tokens_per_second": round(BATCH_TOKENS * steps / sum(seconds) / 1e6, 1),
                "grown_megabytes": round((anonymous_bytes() - before) / 1e6, 1),
            }


def measure_resuming(folder: Path, positions: int) -> dict[str, Any]:
    """Open a simulated set and find the windows of steps all over its run."""
    data = describe(folder, SIMULATED_TOKENS, 2048, attend=False)
    last = curriculum_order(data, seed=1).num_steps - 1
    draw = random.Random(1)
    steps = [0, last, *(draw.randrange(last) for _ in range(positions - 2))]
    fastest, opening = [], []
    for step in steps:
        tries = []
        for _ in range(TRIES):
            started = time.process_time()
            order = curriculum_order(data, seed=1)
            opened = time.process_time()
            order.windows(step)
            tries.append((time.process_time() - started, opened - started))
            del order  # closing the files is no part of resuming
        fastest.append(min(tries)[0])
        opening.append(min(tries)[1])
    return {
        "tokens": SIMULATED_TOKENS,
        "documents": SIMULATED_DOCUMENTS,
        "streams": len(STREAMS),
        "steps": last + 1,
        "positions": positions,
        "median_ms": round(1000 * sorted(fastest)[positions // 2], 3),
        "worst_ms": round(1000 * max(fastest), 3),
        "of_it_opening_files_ms": round(1000 * sorted(opening)[positions // 2], 3),
    }


def shortfalls(loading: Sequence[Mapping[str, Any]], resuming: Mapping[str, Any]) -> list[str]:
    """Return what is slower than its floor or grows."""
    found = []
    for row in loading:
        what = f"{row['stored_ids']}, context {row['context_tokens']}"
        what += "" if row["attend_across_documents"] else ", documents apart"
        speed = row["million_tokens_per_second"]
        if speed * 1e6 < FLOOR_TOKENS_PER_SECOND:
            found.append(f"{what}: {speed} million tokens a second")
        if row["grown_megabytes"] * 1e6 > CEILING_GROWTH_BATCHES * BATCH_TOKENS * 4:
            found.append(f"{what}: grew by {row['grown_megabytes']} MB")
    if resuming["worst_ms"] > CEILING_RESUME_MS:
        found.append(f"resuming took {resuming['worst_ms']} ms")
    return found


def main() -> int:
    """Measure loading and resuming; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scratch", type=Path, help="where the token files lie meanwhile")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    tokens, steps = (QUICK_TOKENS, QUICK_STEPS) if quick else (TOKENS, STEPS)
    loading = []
    with tempfile.TemporaryDirectory(prefix="polylm-loader-", dir=arguments.scratch) as scratch:
        write_simulated(Path(scratch) / "simulated")
        resuming = measure_resuming(
            Path(scratch) / "simulated", QUICK_POSITIONS if quick else POSITIONS
        )
        print(resuming, file=sys.stderr, flush=True)
        for width, vocab_size in VOCAB_BY_WIDTH.items():
            write_streams(Path(scratch) / width, tokens, vocab_size)
            for row in measure_loading(Path(scratch) / width, tokens, steps):
                loading.append({"stored_ids": width, **row})
                print(loading[-1], file=sys.stderr, flush=True)
    result = {
        "floors": {
            "tokens_per_second": FLOOR_TOKENS_PER_SECOND,
            "resume_ms": CEILING_RESUME_MS,
        },
        "resuming": resuming,
        "loading": loading,
        "below_floor": shortfalls(loading, resuming),
    }
    tell("loader", result, PACKAGES, keep=not quick)
    return int(bool(result["below_floor"]))


if __name__ == "__main__":
    sys.exit(main())
