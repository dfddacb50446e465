"""Damaged files are refused before use: `python -m benchmarks.corruption`.

Of every artifact of a finished run, `data/00_sources` among them, of its newest checkpoints and of
its certificates single bits are flipped and files cut short, by a seed, one damage at a time, in a
copy. Each is then opened as whoever uses it opens it, which has to end in an error of
`polylm_core.errors` that names the damaged file. Left out is `source.yaml`: people write it, and
git holds it. Ends with status 1 when one damage goes unnoticed, is not told by file, or ends in
another error. 10,000 damages by default, 500 with `--quick`, which keeps no result.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.results import tell
from polylm_core.artifacts import MANIFEST
from polylm_core.errors import MissingArtifactError, PolyLMError
from polylm_core.pipeline import RUNS, SEED_TASKS, SOURCES, STAGES
from polylm_core.settings import CheckpointPolicy
from polylm_core.stages.ingest.package import open_package
from polylm_core.stages.instruct.seeds import read_seeds
from polylm_core.training.certificate import PARITY_FILE, read_certificate, require_certificate
from polylm_core.training.checkpoint import newest_first
from polylm_core.training.checkpoint_store import CheckpointStore
from polylm_core.training.events import Events

TRIALS, QUICK_TRIALS = 10_000, 500
CUT_SHARE = 0.2
"""Of the damages, that cut a file short; the others flip a bit."""
DECLARATION = "source.yaml"
PACKAGES = ("polylm",)

Harm = Literal["flip", "cut"]


@dataclass(frozen=True)
class Target:
    """Files in a copy that may be damaged, and what everybody calls who uses them."""

    kind: str
    files: tuple[Path, ...]
    use: Callable[[], object]


@dataclass(frozen=True)
class Damage:
    """One change of one file."""

    file: Path
    harm: Harm
    place: int
    """Byte that changes, or where the file ends."""
    bit: int = 0

    @contextmanager
    def done(self) -> Iterator[None]:
        """Damage the file for the block, and mend it."""
        with self.file.open("r+b") as file:
            file.seek(self.place)
            kept = file.read(1 if self.harm == "flip" else -1)
            file.seek(self.place)
            if self.harm == "flip":
                file.write(bytes([kept[0] ^ 1 << self.bit]))
            else:
                file.truncate()
        try:
            yield
        finally:
            with self.file.open("r+b") as file:
                file.seek(self.place)
                file.write(kept)


def draw(seed: int, number: int, files: Sequence[Path]) -> Damage:
    """Return damage `number`; every file is as likely to be hit, whatever its size."""
    lot = random.Random(f"{seed}/{number}")
    file = lot.choice(files)
    place = lot.randrange(file.stat().st_size)
    harm: Harm = "cut" if lot.random() < CUT_SHARE else "flip"
    return Damage(file, harm, place, lot.randrange(8))


def outcome(target: Target, damage: Damage) -> str:
    """Return what is wrong with how a damage was met; empty when it was refused by file."""
    try:
        with damage.done():
            target.use()
    except PolyLMError as error:
        return "" if str(damage.file) in str(error) else f"the file is not named: {error}"
    except Exception as error:  # anything else is what must not happen
        return f"ends in {type(error).__name__}: {error}"
    return "went unnoticed"


def targets(checkout: Path, scratch: Path) -> list[Target]:
    """Copy what a checkout has into `scratch`; raises MissingArtifactError for what it lacks."""
    found = [*_sources(checkout / SOURCES, scratch), *_artifacts(checkout, scratch)]
    found += [*_certificates(checkout, scratch), *_checkpoints(checkout, scratch)]
    for target in found:
        target.use()  # undamaged it is taken
    return found


def _files(folder: Path, *, but: str = "") -> tuple[Path, ...]:
    every = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != but)
    return tuple(path for path in every if path.stat().st_size)


def _sources(sources: Path, scratch: Path) -> Iterator[Target]:
    copy = scratch / SOURCES
    shutil.copytree(sources, copy)
    for declaration in sorted(copy.glob(f"*/{DECLARATION}")):
        folder = declaration.parent
        files = _files(folder, but=DECLARATION)
        if folder.name == SEED_TASKS:
            yield Target(SOURCES.name, files, lambda: read_seeds(copy))
        else:
            yield Target(SOURCES.name, files, _bound(open_package, folder.name, folder))


def _artifacts(checkout: Path, scratch: Path) -> Iterator[Target]:
    for stage in STAGES.values():
        if not (checkout / stage.out / MANIFEST).is_file():
            raise MissingArtifactError(f"{checkout / stage.out} is not made; `make run` makes it")
        shutil.copytree(checkout / stage.out, scratch / stage.out)
        yield Target(stage.folder, _files(scratch / stage.out), _bound(stage.load, scratch))


def _certificates(checkout: Path, scratch: Path) -> Iterator[Target]:
    for stage in (STAGES["pretrain"], STAGES["finetune"]):
        made, copy = checkout / stage.out, scratch / "certified" / stage.folder
        copy.mkdir(parents=True)
        for name in (*read_certificate(made).sha256, PARITY_FILE):
            shutil.copyfile(made / name, copy / name)
        yield Target("certificate", _files(copy), _bound(require_certificate, copy))


def _checkpoints(checkout: Path, scratch: Path) -> Iterator[Target]:
    newest = [
        next(iter(newest_first(folder)), None)
        for folder in sorted((checkout / RUNS).rglob("checkpoints"))
    ]
    if not any(newest):
        raise MissingArtifactError(f"{checkout / RUNS} has no checkpoint; `make run` makes some")
    for number, (_, folder) in enumerate(each for each in newest if each is not None):
        run = scratch / RUNS / str(number)
        copy = run / "checkpoints" / folder.name
        shutil.copytree(folder, copy)
        events = Events(run / "events.jsonl", writes=False)
        store = CheckpointStore(run, CheckpointPolicy(), events)
        yield Target("checkpoint", _files(copy), _bound(store.restore, _Taker()))


class _Taker:
    """Stands for the model that a checkpoint is restored into."""

    def restore(self, read: Any, updates: int) -> None:
        """Take what is given."""


def _bound(function: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    return lambda: function(*arguments)


@contextmanager
def _only_rank(folder: Path) -> Iterator[None]:
    """Be the only rank of a group, which checkpoints are read by."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def measure(checkout: Path, trials: int, seed: int) -> dict[str, Any]:
    """Damage what a checkout has; return the counts and every damage that was not refused."""
    started = time.perf_counter()
    counts: Counter[str] = Counter()
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="polylm-corruption-") as name:
        scratch = Path(name).resolve()
        with _only_rank(scratch):
            by_kind = defaultdict(list)
            for target in targets(checkout, scratch):
                by_kind[target.kind].append(target)
            for number in range(trials):
                kind = sorted(by_kind)[number % len(by_kind)]
                target = by_kind[kind][number // len(by_kind) % len(by_kind[kind])]
                damage = draw(seed, number, target.files)
                counts[kind] += 1
                counts[damage.harm] += 1
                if wrong := outcome(target, damage):
                    where = f"{damage.file.relative_to(scratch)}, {damage.harm} at {damage.place}"
                    missed.append(f"damage {number}: {where}: {wrong}")
    return {
        "seed": seed,
        "trials": trials,
        "flips": counts.pop("flip", 0),
        "cuts": counts.pop("cut", 0),
        "refused": trials - len(missed),
        "missed": missed,
        "by_kind": dict(sorted(counts.items())),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> int:
    """Damage the artifacts of a finished run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path(), help="a finished run; here")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    trials = QUICK_TRIALS if arguments.quick else arguments.trials
    try:
        result = measure(arguments.checkout, trials, arguments.seed)
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tell("corruption", {"quick": arguments.quick, **result}, PACKAGES, keep=not arguments.quick)
    return int(bool(result["missed"]))


if __name__ == "__main__":
    sys.exit(main())
