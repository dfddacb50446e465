"""The report's tables of what a teacher wrote: by round, and what the checks measured of it."""

from __future__ import annotations

from polylm_core.stages.report import words
from polylm_core.stages.report.blocks import Table
from polylm_core.stages.report.material import Material

KEPT = "kept"
RATES = (
    ("Lines in the language", "lines in the language", "lines checked"),
    ("Words in its script", "words in the script", "words checked"),
)
"""Column, what passed, of what: the names of `measures.parquet`."""
COUNTS = (
    ("Tasks checked", "tasks checked"),
    ("With personal data", "tasks with personal data"),
)


def rounds(material: Material) -> Table | None:
    """What became of the tasks of each language and round; none where nothing is made in rounds."""
    rows = [row for row in material.funnel if row["round"]]
    found = {(row["language"], row["round"], row["reason"]): row["count"] for row in rows}
    reasons = sorted({reason for _, _, reason in found}, key=lambda each: (each != KEPT, each))
    places = sorted({(language, number) for language, number, _ in found})
    if not places:
        return None
    return Table(
        ("Language", "Round", *reasons),
        [
            (
                words.name(language),
                str(number),
                *(words.count(found.get((language, number, reason), 0)) for reason in reasons),
            )
            for language, number in places
        ],
    )


def checks(material: Material) -> Table | None:
    """Pass rates of the language check and personal data masked; none where none were measured."""
    found = {
        (row["origin"], row["language"], row["measure"]): row["count"] for row in material.measures
    }
    places = sorted({key[:2] for key in found})
    if not places:
        return None
    rows = []
    for place in places:
        counts = [found.get((*place, measure), 0) for _, measure in COUNTS]
        shares = [
            _share(found.get((*place, passed), 0), found.get((*place, judged), 0))
            for _, passed, judged in RATES
        ]
        rows.append(
            (
                place[0],
                words.name(place[1]),
                *(words.count(count) for count in counts),
                *(words.percent(share) for share in shares),
            )
        )
    heads = [head for head, _ in COUNTS] + [head for head, *_ in RATES]
    return Table(("Origin", "Language", *heads), rows, left=(0, 1))


def _share(passed: int, judged: int) -> float | None:
    return passed / judged if judged else None
