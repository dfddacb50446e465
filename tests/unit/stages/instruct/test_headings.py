"""Headings with the paragraphs under them: what is one, and where an answer ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from polylm_core.records import Pair
from polylm_core.stages.instruct.headings import Headed, headed_texts
from polylm_core.stages.instruct.parts_config import HeadedConfig

PAGE = [
    (1, "Inserting a Table", "Insertar una tabla"),
    (2, "Opens a dialog where you set rows.", "Abre un diálogo para fijar las filas."),
    (3, "Choose the number of columns too.", "Elija también el número de columnas."),
    (4, "Deleting a Table", "Eliminar una tabla"),
    (5, "Removes the table at the cursor.", "Quita la tabla que está en el cursor."),
]
CONFIG = HeadedConfig(sources=("help",), per_language=10)


class Rows:
    """Pairs in memory."""

    def __init__(self, units: list[tuple[int, str, str]], document: str = "help/e-s/page") -> None:
        self._pairs = [
            Pair(f"{document}#{unit}", "eng_Latn", a, "spa_Latn", b, "help", "MPL-2.0")
            for unit, a, b in units
        ]
        self.names = [pair.id for pair in self._pairs]

    def decode(self, index: int) -> Pair | None:
        return replace(self._pairs[index])


def found(units: list[tuple[int, str, str]], config: HeadedConfig = CONFIG) -> list[Headed]:
    return headed_texts(Rows(units), config)


def test_a_heading_has_the_paragraphs_up_to_the_next_heading() -> None:
    first, second = found(PAGE)
    assert first.name == "help/e-s/page#1"
    assert (first.heading_a, first.heading_b) == ("Inserting a Table", "Insertar una tabla")
    assert first.answer_a == "Opens a dialog where you set rows. Choose the number of columns too."
    assert first.answer_b.startswith("Abre un diálogo para fijar las filas. Elija")
    assert second.answer_b == "Quita la tabla que está en el cursor."


def test_units_are_read_in_the_order_of_their_numbers() -> None:
    assert found(PAGE[::-1]) == found(PAGE)


def test_a_missing_unit_ends_an_answer_because_it_may_have_been_a_heading() -> None:
    without_second_heading = [row for row in PAGE if row[0] != 4]
    (only,) = found(without_second_heading)
    assert "Removes" not in only.answer_a


def test_an_answer_takes_as_many_paragraphs_as_fit() -> None:
    config = CONFIG.model_copy(update={"max_answer_words": 8})
    assert [row.answer_a for row in found(PAGE, config)] == [
        "Opens a dialog where you set rows.",
        "Removes the table at the cursor.",
    ]


@pytest.mark.parametrize(
    "heading",
    [
        (1, "This is a sentence.", "Esto es una frase."),
        (1, "Proceed as follows:", "Proceda así:"),
        (1, "Inserting a Table", "Inserte una tabla."),
        (1, "A unit of more than eight words is no heading", "Una unidad larga no es un título"),
        (1, "A1:B2 = 3", "A1:B2 = 3"),
    ],
)
def test_what_is_no_heading_asks_nothing(heading: tuple[int, str, str]) -> None:
    assert found([heading, PAGE[1]]) == []


def test_a_heading_with_too_short_an_answer_asks_nothing() -> None:
    assert found([PAGE[0], (2, "See there.", "Véase allí.")]) == []


def test_only_the_sources_named_have_headings() -> None:
    assert headed_texts(Rows(PAGE, "web/e-s/page"), CONFIG) == []


def test_units_with_names_have_no_order_and_so_no_headings() -> None:
    pairs = Rows(PAGE)
    pairs.names = [name.replace("#", "#par_") for name in pairs.names]
    assert headed_texts(pairs, CONFIG) == []
