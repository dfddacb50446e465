"""Multiple-choice items of XCOPA and XWinograd, as the harness's own task files ask them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from polylm_core.stages.evaluate.benchmarks.catalogue import SETS
from polylm_core.stages.evaluate.benchmarks.find import find_sets
from polylm_core.stages.evaluate.benchmarks.tasks import write_tasks
from polylm_core.stages.evaluate.config import BenchmarksConfig

XCOPA = ("ind_Latn", "ita_Latn", "tha_Thai", "tur_Latn", "vie_Latn", "zho_Hans")
ENGLISH_AND_JAPANESE = 1_323
"""Of XWinograd, so that there are 2,000 with the 677 of the other languages."""

Item = list[tuple[Any, ...]]
"""The requests of an item: context and continuation of each option."""


def items_of(config: BenchmarksConfig, data: Path, work: Path) -> dict[str, list[Item]]:
    """Return the requests of the items of each set, as the harness builds them."""
    languages = {name: section.languages or () for name, section in config.sets.items()}
    found = find_sets(
        [(SETS[name], codes) for name, codes in languages.items()],
        {name: str(data / name) for name in languages},
    )
    asked = write_tasks(config, found, work, model="base", seed=0)
    manager = TaskManager(include_path=str(work), include_defaults=False)
    tasks: Any = manager.load([ask.task for ask in asked])["tasks"]
    items: dict[str, list[Item]] = {name: [] for name in languages}
    for ask in asked:
        task = tasks[ask.task]
        task.set_fewshot_seed(0)
        task.build_all_requests(rank=0, world_size=1)
        by_item: dict[int, Item] = {}
        for instance in task.instances:
            by_item.setdefault(instance.doc_id, []).append(tuple(instance.args))
        items[ask.benchmark.name] += by_item.values()
    return items


def chosen_items(data: Path, work: Path, *, quick: bool) -> dict[str, list[Item]]:
    """Return the 5,000 items by set."""
    per_language = 10 if quick else None
    whole = ("fra_Latn", "por_Latn", "rus_Cyrl", "zho_Hans")
    few = {"items_per_language": per_language}
    half = 10 if quick else ENGLISH_AND_JAPANESE // 2
    found: dict[str, list[Item]] = {"xcopa": [], "xwinograd": []}
    for number, sets in enumerate(
        (
            {"xcopa": {"languages": XCOPA, **few}, "xwinograd": {"languages": whole, **few}},
            {"xwinograd": {"languages": ("jpn_Jpan",), "items_per_language": half}},
            {"xwinograd": {"languages": ("eng_Latn",), "items_per_language": half + 1}},
        )
    ):
        config = BenchmarksConfig.model_validate({"sets": sets})
        for name, items in items_of(config, data, work / str(number)).items():
            found[name] += items
    return found
