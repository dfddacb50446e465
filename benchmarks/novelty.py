"""Speed of the novelty filter beside rouge-score's: `python -m benchmarks.novelty`.

Is an instruction new in a pool of 20,000? The peer is `rouge-score` in two processes, as Alpaca's
generator runs it, but kinder: each process holds its half of the pool and returns where the first
instruction at ROUGE-L 0.7 or above is, so that nothing else is sent. Both get the same lists of
words. The pool is the released Spanish MultiAlpaca and copies of it with words replaced; asked are
instructions of it that are not in the pool, and further copies around the threshold. The sides take
turns; ratio is the peer's time by ours, of all instructions asked. Ends with status 1 when a
decision differs or ours is less than 200 times as fast. `--quick` asks fewer, and keeps no result.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rouge_score import rouge_scorer

from benchmarks.multialpaca import DATA, FILES, read_tasks
from benchmarks.results import tell
from polylm_core.stages.instruct.novelty import NoveltyIndex
from polylm_core.stages.instruct.words import split_words

FLOOR_RATIO = 200
THRESHOLD = 0.7
LANGUAGE = "spa_Latn"
POOL = 20_000
PROCESSES = 2
ASKED, QUICK_ASKED = 60, 10
PACKAGES = ("polylm", "rouge-score", "numba", "numpy")

Words = list[str]


class _Lists:
    """rouge-score takes texts and a tokenizer; here the text is the list of words."""

    def tokenize(self, text: Any) -> Words:
        words: Words = text
        return words


def first_similar(known: Sequence[Words], scorer: Any, asked: Words) -> int | None:
    """The first of the instructions known at the threshold or above, every one scored."""
    scores = [scorer.score(words, asked)["rougeL"].fmeasure for words in known]
    return next((place for place, score in enumerate(scores) if score >= THRESHOLD), None)


def hold(shares: Any) -> None:
    """Keep this process's share of the pool at hand."""
    _held["share"] = shares.get()


_held: dict[str, tuple[int, list[Words]]] = {}


def score_share(asked: Words, meeting: Any) -> int | None:
    """The place in the whole pool of the first similar one of this process's share."""
    start, known = _held["share"]
    found = first_similar(known, _scorer(), asked)
    meeting.wait()  # so that each process takes one share of each question
    return None if found is None else start + found


@functools.cache
def _scorer() -> Any:
    return rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Lists())


def altered(words: Words, vocabulary: Sequence[str], draw: random.Random) -> Words:
    """A copy with 10 to 50 % of the words replaced."""
    share = draw.uniform(0.1, 0.5)
    return [draw.choice(vocabulary) if draw.random() < share else word for word in words]


def make_lists(path: Path, num_asked: int) -> tuple[list[Words], list[Words]]:
    """The pool, and what is asked: as many fresh instructions as altered ones."""
    draw = random.Random(1)
    lists = [split_words(task.instruction, LANGUAGE) for task in read_tasks(path)]
    draw.shuffle(lists)
    vocabulary = [word for words in lists for word in words]
    fresh, pool = lists[: num_asked // 2], lists[num_asked // 2 :]
    originals = list(pool)
    while len(pool) < POOL:
        pool.append(altered(draw.choice(originals), vocabulary, draw))
    draw.shuffle(pool)
    asked = fresh + [
        altered(draw.choice(pool), vocabulary, draw) for _ in range(num_asked - len(fresh))
    ]
    return pool, asked


def measure(pool: list[Words], asked: list[Words]) -> dict[str, Any]:
    """Ask both sides in turns."""
    started = time.perf_counter()
    index = NoveltyIndex(THRESHOLD)
    for words in pool:
        index.add(words)
    index.nearest(pool[0])  # compiles
    built = time.perf_counter() - started
    ours, peers, differing, known = [], [], 0, 0
    half = len(pool) // PROCESSES
    with multiprocessing.Manager() as manager:
        shares, meeting = manager.Queue(), manager.Barrier(PROCESSES)
        for number in range(PROCESSES):
            shares.put((number * half, pool[number * half : (number + 1) * half]))
        with multiprocessing.Pool(PROCESSES, hold, (shares,)) as processes:
            score = functools.partial(score_share, meeting=meeting)
            processes.map(score, [pool[0]] * PROCESSES, chunksize=1)
            for words in asked:
                started = time.perf_counter()
                answers = processes.map(score, [words] * PROCESSES, chunksize=1)
                between = time.perf_counter()
                found = index.nearest(words)
                ours.append(time.perf_counter() - between)
                peers.append(between - started)
                expected = min((place for place in answers if place is not None), default=None)
                differing += found != expected
                known += found is not None
    return {
        "pool": len(pool),
        "asked": len(asked),
        "of_them_known": known,
        "mean_words": round(statistics.mean(map(len, pool)), 1),
        "index_build_seconds": round(built, 2),
        "our_mean_ms": round(1000 * statistics.mean(ours), 4),
        "our_worst_ms": round(1000 * max(ours), 4),
        "peer_mean_ms": round(1000 * statistics.mean(peers), 1),
        "ratio": round(sum(peers) / sum(ours), 1),
        "differing_decisions": differing,
    }


def main() -> int:
    """Measure both; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the released files")
    arguments = parser.parse_args()
    path = arguments.data / FILES[LANGUAGE]
    if not path.is_file():
        raise SystemExit(f"error: {path}: missing; name the folder of the released files")
    pool, asked = make_lists(path, QUICK_ASKED if arguments.quick else ASKED)
    result = {"processes": PROCESSES, "floor_ratio": FLOOR_RATIO, **measure(pool, asked)}
    is_below = result["ratio"] < FLOOR_RATIO or result["differing_decisions"] > 0
    tell("novelty", {**result, "below_floor": is_below}, PACKAGES, keep=not arguments.quick)
    return int(is_below)


if __name__ == "__main__":
    sys.exit(main())
