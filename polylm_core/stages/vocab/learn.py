"""From shards to a model: counting, sampling and training, each found again when it was finished.

A model depends on the shards, the sample and the training alone, so it lies in a folder named by
those. A run with other thresholds of the gate finds it there, in its own work folder or that of an
earlier run beside it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from polylm_core import records, tokenizer
from polylm_core.artifacts import ShardSet
from polylm_core.records import list_parts
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.base import StageRun
from polylm_core.stages.vocab import sample
from polylm_core.stages.vocab.config import LEARNED_ONLY, VocabConfig
from polylm_core.stages.vocab.sample import (
    MARGIN,
    RETRY,
    PartUnit,
    SampleUnit,
    count_bytes,
    keep_candidates,
    read_sample,
    share_budget,
    take_sample,
)
from polylm_core.storage import fingerprint, sha256_file, write_atomic
from polylm_core.tokenizer import MODEL_FILE, train_sentencepiece


@dataclass(frozen=True)
class Learned:
    """A trained model and what it was trained on."""

    model: bytes
    sample_bytes: dict[str, int]
    """By language."""
    language_bytes: dict[str, int]
    """What there was of each."""


def learn(config: VocabConfig, shards: ShardSet, run: StageRun) -> Learned:
    """Train a model on the sample that the recipe asks for, or find it trained."""
    work = run.work / f"learned-{_identity(config, shards, run)}"
    file = work / MODEL_FILE
    for earlier in (file, *sorted(run.work.parent.glob(f"*/{work.name}/{MODEL_FILE}"))):
        found = read_marker(_marker(earlier))
        if found is not None:
            run.progress.say(f"vocabulary: the model in {earlier.parent} is used again")
            return Learned(earlier.read_bytes(), **found)
    work.mkdir(parents=True, exist_ok=True)
    parts = _parts(shards, run.languages)
    sizes = _count(parts, run)
    files, taken = _sample(config, parts, sizes, run, work)
    with run.progress.track("learn vocabulary", total=1, noun="models") as tracker:
        model = train_sentencepiece(
            read_sample(files),
            vocab_size=config.vocab_size or 0,
            character_coverage=config.character_coverage,
        )
        tracker.advance()
    write_atomic(file, model)
    write_marker(_marker(file), [file], {"sample_bytes": taken, "language_bytes": sizes})
    shutil.rmtree(work / "sample")
    return Learned(model, taken, sizes)


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.done.json")


def _identity(config: VocabConfig, shards: ShardSet, run: StageRun) -> str:
    """What a model depends on, its code included."""
    modules = (sample, tokenizer, records)
    return fingerprint(
        {
            "shards": shards.fingerprint,
            "languages": list(run.languages),
            "seed": run.seed,
            "sentencepiece": version("sentencepiece"),
            "code": [sha256_file(Path(str(module.__file__))) for module in modules],
            **{name: getattr(config, name) for name in LEARNED_ONLY},
        }
    )[:16]


def _parts(shards: ShardSet, languages: tuple[str, ...]) -> list[tuple[str, Path]]:
    return [
        (code, part) for code in languages for part in list_parts(shards.path / "documents" / code)
    ]


def _count(parts: list[tuple[str, Path]], run: StageRun) -> dict[str, int]:
    sizes = dict.fromkeys(run.languages, 0)
    counted = run.backend.map(count_bytes, [part for _, part in parts])
    for (code, _), size in zip(parts, counted, strict=True):
        sizes[code] += size
    return sizes


def _sample(
    config: VocabConfig,
    parts: list[tuple[str, Path]],
    sizes: dict[str, int],
    run: StageRun,
    work: Path,
) -> tuple[list[Path], dict[str, int]]:
    """Draw the sample; returns its files and the bytes of each language."""
    budget = share_budget(
        sizes, sample_bytes=config.sample_bytes, exponent=config.sampling_exponent
    )
    thresholds = {code: MARGIN * budget[code] / sizes[code] for code in budget}
    candidates: dict[str, tuple[Path, ...]] = {}
    with run.progress.track("draw sample", total=len(budget), noun="languages") as tracker:
        while left := {code: at for code, at in thresholds.items() if code not in candidates}:
            for code, (kept, files) in _keep(parts, left, run, work).items():
                if kept >= budget[code] or left[code] >= 1:
                    candidates[code] = files
                    tracker.advance(note=code)
                else:
                    thresholds[code] *= RETRY
    outs = [work / "sample" / f"{code}.txt" for code in budget]
    units = [
        SampleUnit(candidates[code], out, budget[code])
        for code, out in zip(budget, outs, strict=True)
    ]
    return outs, dict(zip(budget, run.backend.map(take_sample, units), strict=True))


def _keep(
    parts: list[tuple[str, Path]], thresholds: dict[str, float], run: StageRun, work: Path
) -> dict[str, tuple[int, tuple[Path, ...]]]:
    """Keep what may be sampled of some languages; bytes and files of each."""
    mine = [(code, part) for code, part in parts if code in thresholds]
    units = []
    for code, part in mine:
        folder = work / "sample" / code / f"{thresholds[code]:.9g}"
        units.append(PartUnit(part, folder / part.name, run.seed, thresholds[code]))
    kept: dict[str, tuple[int, tuple[Path, ...]]] = dict.fromkeys(thresholds, (0, ()))
    for (code, _), unit, size in zip(
        mine, units, run.backend.map(keep_candidates, units), strict=True
    ):
        bytes_before, files = kept[code]
        kept[code] = (bytes_before + size, (*files, unit.out))
    return kept
