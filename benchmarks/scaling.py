"""Memory and time of the data stages by the size of their input: `python -m benchmarks.scaling`.

The corpus is repeated with noise to 0.1, 0.3, 1 and 3 GB; each stage runs in a process of its own,
its memory that of all its processes together. Ends with status 1 when a stage needs 2 GB or more at
the largest size, or more than 1.5 times as long a byte as at the smallest. `--quick` is 50 and
100 MB, and keeps no result. The plot is `benchmarks/results/scaling.svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus import build, default_folder
from benchmarks.engine import noise, run_stage
from benchmarks.engine.memory import Usage, watch
from benchmarks.engine.peer import single_threaded
from benchmarks.engine.plot import line_chart
from benchmarks.engine.sample import draw, write
from benchmarks.results import FOLDER, tell
from polylm_core.languages import POLYLM_LANGUAGES, get_language
from polylm_core.records import DOCUMENT_SCHEMA, write_parts

CEILING_BYTES = 2_000_000_000
HELD_OUT_SHARE = 0.01
CEILING_RATIO = 1.5
"""Seconds a byte at the largest size, by those at the smallest."""
SIZES_MB, QUICK_SIZES_MB = (100, 300, 1000, 3000), (50, 100)
STAGES = tuple(run_stage.RUNS)
PACKAGES = ("polylm", "numpy", "numba", "pyarrow", "sentencepiece")


def make_input(corpus: Path, out: Path, megabytes: float) -> int:
    """Write the input as parts of Parquet; return its documents."""
    has_spaces = {code: get_language(code).words == "spaces" for code in POLYLM_LANGUAGES}
    rows = noise.repeated(corpus, has_spaces, int(megabytes * 1e6))
    return write_parts(out / run_stage.SOURCE, rows, DOCUMENT_SCHEMA)


def measure(stage: str, source: Path, folder: Path, arguments: argparse.Namespace) -> Usage:
    """Run one stage on what the stages before wrote to `folder`."""
    options = ["--workers", str(arguments.workers), "--params", str(arguments.params)]
    options += ["--warm-with", str(folder / "warm-up"), "--held-out-share", str(HELD_OUT_SHARE)]
    begin = source if stage == "ingest" else folder
    command = [sys.executable, "-m", "benchmarks.engine.run_stage", stage, str(begin), str(folder)]
    with (folder / f"{stage}.log").open("w") as log:
        usage = watch([*command, *options], stdout=log, stderr=log, env=single_threaded())
    if usage.returncode:
        kept = Path(tempfile.gettempdir()) / f"polylm-scaling-{stage}.log"
        shutil.copy(folder / f"{stage}.log", kept)
        raise SystemExit(f"error: {stage} ended with {usage.returncode}; see {kept}")
    return usage


def measure_size(megabytes: float, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the stages one after the other on an input of this size."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="polylm-scaling-", dir=arguments.scratch) as scratch:
        source, folder = Path(scratch) / "input", Path(scratch) / "artifacts"
        folder.mkdir()
        make_input(arguments.corpus, source, megabytes)
        write(folder / "warm-up", arguments.few)
        for stage in STAGES:
            usage = measure(stage, source, folder, arguments)
            seconds = json.loads((folder / "timing.json").read_text())["seconds"]
            row = {
                "stage": stage,
                "megabytes": megabytes,
                "seconds": round(seconds, 2),
                "peak_megabytes": round(usage.peak_bytes / 1e6, 1),
                "measure": usage.measure,
            }
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def shortfalls(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which stage needs too much memory, or more than linear time."""
    found = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        of_stage = sorted(
            (row for row in rows if row["stage"] == stage), key=lambda row: row["megabytes"]
        )
        first, last = of_stage[0], of_stage[-1]
        if last["peak_megabytes"] * 1e6 >= CEILING_BYTES:
            found.append(f"{stage}: {last['peak_megabytes']:,} MB at {last['megabytes']} MB")
        rates = [row["seconds"] / row["megabytes"] for row in (first, last)]
        if rates[1] > CEILING_RATIO * rates[0]:
            found.append(f"{stage}: {rates[1] / rates[0]:.2f} times as long a byte")
    return found


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, metavar="DIR", default=default_folder())
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--scratch", type=Path, help="where inputs and artifacts lie meanwhile")
    parser.add_argument("--sizes-mb", type=float, nargs="+", default=list(SIZES_MB))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes_mb = list(QUICK_SIZES_MB)
    return arguments


def main() -> int:
    """Measure each stage at each size; return the exit status."""
    arguments = parse()
    build(arguments.corpus)
    arguments.few = draw(arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=100_000)
    rows = [row for size in arguments.sizes_mb for row in measure_size(size, arguments)]
    result = {
        "workers": arguments.workers,
        "ceilings": {"peak_bytes": CEILING_BYTES, "seconds_per_byte_ratio": CEILING_RATIO},
        "rows": rows,
        "above_ceiling": shortfalls(rows),
    }
    if not arguments.quick:
        FOLDER.mkdir(exist_ok=True)
        lines = {
            stage: [(row["megabytes"], row["seconds"]) for row in rows if row["stage"] == stage]
            for stage in STAGES
        }
        chart = line_chart(lines, "input, MB", "time, s")
        (FOLDER / "scaling.svg").write_text(chart, "utf-8")
    tell("scaling", result, PACKAGES, keep=not arguments.quick)
    return int(bool(result["above_ceiling"]))


if __name__ == "__main__":
    sys.exit(main())
