"""The harness's files of the sets: the items as JSON lines, and a task file a language."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from polylm_core.errors import SourceError
from polylm_core.stages.evaluate.benchmarks.benchmark_set import HARNESS, BenchmarkSet
from polylm_core.stages.evaluate.benchmarks.find import FoundSet
from polylm_core.stages.evaluate.benchmarks.readers import Row
from polylm_core.stages.evaluate.config import BenchmarksConfig
from polylm_core.storage import canonical_json

SPLITS = {"training_split": "train", "validation_split": "validation", "test_split": "test"}
"""The harness's names of the splits, by its keys."""


@dataclass(frozen=True)
class Asked:
    """What one model is asked of one set in one language."""

    benchmark: BenchmarkSet
    language: str
    """A FLORES-200 code."""

    @property
    def task(self) -> str:
        """The harness's name of it."""
        return f"{self.benchmark.name}_{self.language}"


def write_tasks(
    config: BenchmarksConfig, found: Sequence[FoundSet], folder: Path, *, model: str, seed: int
) -> list[Asked]:
    """Write the files of all sets for a model afresh; raises SourceError for a broken set."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = []
    for place in found:
        for language in place.languages:
            ask = Asked(place.benchmark, language)
            _write_task(config, place, ask, folder, model, seed)
            asked.append(ask)
    return asked


def _write_task(
    config: BenchmarksConfig, place: FoundSet, ask: Asked, folder: Path, model: str, seed: int
) -> None:
    benchmark = ask.benchmark
    limit = config.sets[benchmark.name].items_per_language
    shots = _shots(config, benchmark, model)
    files = {}
    for split in place.form.splits:
        rows = _rows_of(place, ask, split)
        if split == benchmark.scored:
            rows = drawn(rows, limit, seed)
            if len(place.form.splits) == 1 and len(rows) <= shots:
                raise SourceError(
                    f"{place.folder}: {benchmark.name} has {len(rows)} items of {ask.language}, "
                    f"and the {model} model is shown {shots} others of them; add items, or state "
                    "shots: 0"
                )
        path = folder / f"{ask.task}.{split}.jsonl"
        named = {"language": benchmark.languages[ask.language], "benchmark": benchmark.name}
        lines = [json.dumps({**named, **row}, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files[split] = str(path)
    content = {
        "include": str(task_file(benchmark, benchmark.languages[ask.language])),
        "task": ask.task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "datasets")},
        "num_fewshot": shots,
        # Otherwise the harness draws from the scored split without leaving the item itself out.
        **({"fewshot_split": "test"} if set(place.form.splits) == {"test"} else {}),
        # Splits that the harness's own files name and this form of the set lacks.
        **{key: None for key, split in SPLITS.items() if split not in place.form.splits},
        **_generation(config, benchmark, model),
    }
    (folder / f"{ask.task}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def _rows_of(place: FoundSet, ask: Asked, split: str) -> list[Row]:
    rows = list(place.rows(ask.language, split))
    if not rows:
        raise SourceError(
            f"{place.folder}: {ask.benchmark.name} has no {ask.language} in split {split}; fetch "
            f"it again with `{ask.benchmark.fetch_command(place.languages)}`"
        )
    return rows


def asked_items(
    config: BenchmarksConfig | None, found: Sequence[FoundSet], *, seed: int
) -> Iterator[tuple[str, str, Row]]:
    """Yield set, language and fields of every item that is asked; raises SourceError."""
    if config is None:
        return
    for place in found:
        name = place.benchmark.name
        for language in place.languages:
            rows = list(place.rows(language, place.benchmark.scored))
            for row in drawn(rows, config.sets[name].items_per_language, seed):
                yield name, language, row


def drawn(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """Return the rows, or so many of them drawn by the seed, in the order of the set."""
    if limit is None or limit >= len(rows):
        return list(rows)
    keys = [
        hashlib.sha256(f"{seed}\0{number}\0{canonical_json(row)}".encode()).digest()
        for number, row in enumerate(rows)
    ]
    chosen = sorted(range(len(rows)), key=keys.__getitem__)[:limit]
    return [rows[number] for number in sorted(chosen)]


def task_file(benchmark: BenchmarkSet, language: str) -> Path:
    """Return the task file of a language, by the set's own code."""
    name = benchmark.task.format(language=language)
    if not name.startswith(HARNESS):
        return Path(str(resources.files(__package__).joinpath("tasks", name)))
    return Path(str(resources.files("lm_eval").joinpath("tasks", name.removeprefix(HARNESS))))


def _shots(config: BenchmarksConfig, benchmark: BenchmarkSet, model: str) -> int:
    stated = config.sets[benchmark.name].shots
    published = benchmark.base_shots if model == "base" else 0
    return published if stated is None else stated


def _generation(config: BenchmarksConfig, benchmark: BenchmarkSet, model: str) -> Mapping[str, Any]:
    if benchmark.kind == "options":
        return {}
    stops = list(benchmark.stops) if model == "base" else []
    kwargs = {"until": stops, "max_gen_toks": config.max_new_tokens, "do_sample": False}
    below = {"gen_prefix": "\n"} if benchmark.answers_below and model == "base" else {}
    return {"generation_kwargs": kwargs, **below}
