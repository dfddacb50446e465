"""One answer, as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polylm_core.cli.output import cell, duration, show

ANSWER: dict[str, Any] = {
    "model": "gpt2",
    "languages": [
        {"language": "arb_Arab", "read_bytes": 1_500_000, "kept_share": 0.25, "text": "[bold]"},
        {"language": "zho_Hans", "read_bytes": 812, "kept_share": None, "text": "你好"},
    ],
    "remarks": [],
    "together": {"tokens": 12_345, "took_seconds": 245.0},
}


def test_programs_read_the_values_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    show(ANSWER, as_json=True)
    told = capsys.readouterr()
    assert json.loads(told.out) == ANSWER
    assert told.err == ""


def test_people_read_cells_with_units_and_nothing_is_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 300
    show({**ANSWER, "long": [{"id": long}]}, as_json=False)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "model: gpt2"
    assert [line.split() for line in lines if line.startswith(("arb", "zho"))] == [
        ["arb_Arab", "1.5", "MB", "25.00", "%", "[bold]"],
        ["zho_Hans", "812", "B", "你好"],
    ]
    assert "took seconds  4 min 05 s" in lines
    assert long in lines
    assert "remarks" not in lines  # there are none


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (8.34, "8.3 s"),
        (59.99, "60.0 s"),
        (245, "4 min 05 s"),
        (7380, "2 h 03 min"),
        (2_134_080, "24.7 days"),
    ],
)
def test_durations_read_naturally(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("steps", 175_237, "175,237"),
        ("flops", 6.312e22, "6.312e+22"),
        ("price_usd", 1234.5, "$1,234.50"),
        ("checkpoint_bytes", 166_881_484_800, "166.88 GB"),
        ("corpus_bytes", 2.5e12, "2.50 TB"),
        ("loss", 2.34567, "2.346"),
        ("made", True, "yes"),
        ("languages", ["arb_Arab", "heb_Hebr"], "arb_Arab, heb_Hebr"),
    ],
)
def test_the_unit_of_a_cell_is_at_the_end_of_its_name(name: str, value: Any, text: str) -> None:
    assert cell(name, value) == text
