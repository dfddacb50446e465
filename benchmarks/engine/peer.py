"""datatrove's side: an environment of its own, and runs of `benchmarks/peers/run_datatrove.py`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent.parent / "peers"
PINS = PEERS / "datatrove.txt"
VERSION = "0.10.1"


@dataclass(frozen=True)
class PeerRun:
    """What one run of datatrove took and decided."""

    seconds: Mapping[str, Mapping[str, float]]
    """By language and phase."""
    decisions: Sequence[Mapping[str, Any]]

    @property
    def total_seconds(self) -> float:
        """All phases of all languages."""
        return sum(sum(phases.values()) for phases in self.seconds.values())

    def by_phase(self) -> dict[str, float]:
        """Seconds of each phase over all languages."""
        sums: dict[str, float] = {}
        for phases in self.seconds.values():
            for name, seconds in phases.items():
                sums[name] = round(sums.get(name, 0.0) + seconds, 2)
        return sums


def environment() -> Path:
    """Return the Python of an environment with the pinned packages, made if it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()[:8]
    folder = cache / "polylm" / "peers" / f"datatrove-{VERSION}-{pins}"
    python, finished = folder / "bin" / "python", folder / ".installed"
    if not finished.exists():
        print(f"install datatrove {VERSION} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(PINS)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        finished.touch()
    return python


def run(
    mode: str,
    sample: Path,
    out: Path,
    *,
    settings: Mapping[str, Any],
    model: Path,
    words: str,
    cpus: Sequence[int],
) -> PeerRun:
    """Run one mode of the script on these processors, one worker each."""
    (sample / "settings.json").write_text(json.dumps(settings), "utf-8")
    command = [
        str(environment()), str(PEERS / "run_datatrove.py"), mode, str(sample), str(out),
        "--model", str(model), "--words", words, "--workers", str(len(cpus)),
    ]  # fmt: skip
    log = out.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        done = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            env=single_threaded(),
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
    if done.returncode:
        raise SystemExit(f"error: datatrove ended with {done.returncode}; see {log}")
    seconds = json.loads((out / "timings.json").read_text())
    lines = (out / "decisions.jsonl").read_text("utf-8").splitlines()
    return PeerRun(seconds, [json.loads(line) for line in lines])


def single_threaded() -> dict[str, str]:
    """Return an environment of one thread a native library, and without downloads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {**os.environ, **dict.fromkeys(names, "1"), **offline}
