"""Human translations: found exactly, or refused and counted."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from polylm_core.errors import SourceError, TeacherError, TranslatorError
from polylm_core.storage import sha256_file
from polylm_core.translators.config import TableTranslator
from polylm_core.translators.table import Table, find_table
from polylm_core.translators.translator import NOT_IN_TABLE, SEVERAL_IN_TABLE, Translation
from tests.unit.stages.instruct_inputs import make_shards, sentences

TSV = (
    "eng_Latn\tspa_Latn\tdeu_Latn\n"
    "Cafe\u0301  menu\tCarta del café\tSpeisekarte\n"
    "Open\tAbrir\tÖffnen\nOpen\tAbierto\tÖffnen\nBlank\t\tLeer\n"
)


def table_of(path: Path, content: str) -> Table:
    path.write_text(content, encoding="utf-8")
    config = TableTranslator(
        kind="table", source="glossary", sha256=sha256_file(path), license="CC0-1.0"
    )
    return find_table(config, {"glossary": str(path)}, path.parent)


def test_a_text_is_found_whatever_its_unicode_form_and_space(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.tsv", TSV)
    asked = [" Caf\u00e9 menu\n", "café menu", "Open", "Blank"]
    assert table.translate(asked, "eng_Latn", "spa_Latn") == [
        Translation("Carta del café"),
        Translation("", NOT_IN_TABLE),
        Translation("", SEVERAL_IN_TABLE),
        Translation("", NOT_IN_TABLE),
    ]
    assert table.translate(["Open"], "eng_Latn", "deu_Latn") == [Translation("Öffnen")]
    assert table.translate(["Öffnen"], "deu_Latn", "eng_Latn") == [Translation("Open")]


def test_objects_of_a_jsonl_file_need_not_have_all_languages(tmp_path: Path) -> None:
    rows = '{"eng_Latn": "Yes", "spa_Latn": "Sí"}\n\n{"eng_Latn": "No", "fra_Latn": "Non"}\n'
    table = pickle.loads(pickle.dumps(table_of(tmp_path / "t.jsonl", rows)))
    assert table.translate(["Yes", "No"], "eng_Latn", "spa_Latn") == [
        Translation("Sí"),
        Translation("", NOT_IN_TABLE),
    ]
    assert table.problem("eng_Latn", "fra_Latn") == ""
    assert "no text in both eng_Latn and kat_Geor" in table.problem("eng_Latn", "kat_Geor")


def test_the_pairs_of_the_pipeline_are_a_table_both_ways(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards")
    table = find_table(TableTranslator(kind="table", license="MPL-2.0"), {}, shards.path)
    english, german = sentences("eng_Latn"), sentences("deu_Latn")
    made = table.translate(english, "eng_Latn", "deu_Latn")
    assert [each.text for each in made[:40]] == german[:40]
    assert {each.refusal for each in made[40:]} == {NOT_IN_TABLE}, "held-out pairs are not asked"
    assert table.translate(german[:1], "deu_Latn", "eng_Latn") == [Translation(english[0])]
    assert "no text in both" in table.problem("deu_Latn", "zho_Hans")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.tsv",
            "eng_Latn\tspanish\nYes\nNo\tNo\tNo\n",
            r"line 1: 'spanish' is no.*\n  line 2: 1 cells, 2 lang.*\n  line 3: 3 cells",
        ),
        (
            "t.jsonl",
            '{"eng_Latn": 1}\n["x"]\n{"en": "Yes"}\nYes\n',
            r"line 1: not an obj.*\n  line 2: not an.*\n  line 3: 'en' is no.*\n  line 4: not JSON",
        ),
        ("t.tsv", "eng_Latn\tspa_Latn\n" + "x\n" * 30, "and 10 more"),
    ],
)
def test_a_wrong_file_is_told_with_all_that_is_wrong(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    table = table_of(tmp_path / name, content)
    with pytest.raises(SourceError, match=message):
        table.translate(["Yes"], "eng_Latn", "spa_Latn")


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.tsv", "")
    (tmp_path / "t.tsv").write_bytes(b"eng_Latn\tspa_Latn\nYes\tS\xed\n")
    with pytest.raises(SourceError, match="not UTF-8"):
        table.problem("eng_Latn", "spa_Latn")


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    config = TableTranslator(kind="table", source="glossary", sha256="0" * 64, license="CC0-1.0")
    (tmp_path / "t.tsv").write_text(TSV, encoding="utf-8")
    with pytest.raises(TranslatorError, match="params say 0000"):
        find_table(config, {"glossary": str(tmp_path / "t.tsv")}, tmp_path)
    with pytest.raises(TranslatorError, match=r"no such file; correct `source_locations\.glossary"):
        find_table(config, {"glossary": str(tmp_path / "other.tsv")}, tmp_path)
    with pytest.raises(TeacherError, match="where the translator 'glossary' lies"):
        find_table(config, {}, tmp_path)
    with pytest.raises(ValueError, match="need each other"):
        TableTranslator(kind="table", source="glossary", license="CC0-1.0")
