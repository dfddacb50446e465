"""Published sets of one task a row: their forms, where they lie, and what they are worth."""

from __future__ import annotations

import csv
import gzip
import io
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from polylm_core.errors import SourceError
from polylm_core.progress import NullProgress
from polylm_core.records import Message
from tests.loopback import serve_files
from tests.unit.stages.instruct.import_files import (
    ALPACA,
    Rows,
    as_imports,
    chats,
    declare,
    ids,
    json_array,
    json_lines,
    place,
    read,
    reasons,
    zstd,
)

SHARED = Path(__file__).parents[5] / "shared/data"
COLOURS = ("Name two colours.", "Red and blue.")
SEA = ("Translate into French.\nthe sea", "la mer")
LOOP = ("Write a loop.", "```\nfor i in range(3): ...\n```")


def separated(rows: Rows, delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.json", json_array(ALPACA)),
        ("a.json.gz", gzip.compress(json_array(ALPACA), mtime=0)),
        ("a.jsonl", json_lines(ALPACA)),
        ("a.json", json_lines(ALPACA)),
        ("a.json", BOM_UTF8 + json_array(ALPACA)),
        ("a.jsonl", BOM_UTF8 + json_lines(ALPACA)),
        ("a.jsonl.zst", zstd(json_lines(ALPACA))),
        ("a.parquet", parquet(ALPACA)),
        ("a.csv", separated(ALPACA, ",")),
        ("a.tsv.gz", gzip.compress(separated(ALPACA, "\t"), mtime=0)),
    ],
)
def test_every_kind_of_file_gives_the_same_tasks(tmp_path: Path, file: str, content: bytes) -> None:
    harvest, counts = read(tmp_path, place(tmp_path, {"set": declare(file)}, set=content))
    assert chats(harvest) == [COLOURS, SEA, LOOP]
    assert ids(harvest.instructions) == [f"set/{number:07d}" for number in (1, 2, 4)]
    assert {(row.origin, row.license, row.language) for row in harvest.instructions} == {
        ("set", "CC0-1.0", "eng_Latn")
    }
    assert reasons(harvest) == {"kept": 3, "empty-part": 1}
    assert counts == {"set": {"items": 4}}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        # databricks-dolly-15k
        (
            {
                "instruction": "Who won?",
                "context": "The Reds won.",
                "response": "The Reds.",
                "category": "closed_qa",
            },
            {"input": "context", "output": "response"},
        ),
        # FLAN, resampled for Tülu
        (
            {"inputs": "Who won?\nThe Reds won.", "targets": "The Reds.", "task": "squad"},
            {"instruction": "inputs", "input": None, "output": "targets"},
        ),
        # GPTeacher
        (
            {"instruction": "Who won?", "input": "The Reds won.", "response": "The Reds."},
            {"output": "response"},
        ),
        # self-instruct's seeds
        (
            {
                "instruction": "Who won?",
                "instances": [{"input": "The Reds won.", "output": "The Reds."}],
            },
            {"input": "instances.0.input", "output": "instances.0.output"},
        ),
    ],
)
def test_the_columns_of_published_sets_are_declared(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, Any]
) -> None:
    imports = place(tmp_path, {"set": declare("a.jsonl", **columns)}, set=json_lines([row]))
    assert chats(read(tmp_path, imports)[0]) == [("Who won?\nThe Reds won.", "The Reds.")]


def test_a_system_column_and_an_own_id_are_taken_over(tmp_path: Path) -> None:
    row = {"key": 17, "says": "Be brief.", "instruction": "Hello?", "input": None, "output": "Hi."}
    declared = declare("a.jsonl", system="says", id="key")
    harvest, _ = read(tmp_path, place(tmp_path, {"s": declared}, s=json_lines([row, row])))
    assert ids(harvest.instructions) == ["s/17"]
    assert harvest.instructions[0].messages[0] == Message("system", "Be brief.")
    assert reasons(harvest) == {"kept": 1, "repeated-id": 1}


def test_only_the_rows_of_code_alpaca_with_a_fence_are_taken(tmp_path: Path) -> None:
    where = [{"column": "output", "matches": "```"}]
    imports = place(
        tmp_path,
        {"code": declare("a.json", where=where, expected_items=1)},
        code=json_array(ALPACA),
    )
    harvest, counts = read(tmp_path, imports)
    assert chats(harvest) == [LOOP]
    assert reasons(harvest) == {"kept": 1, "left-out-by-where": 3}
    assert counts == {"code": {"items": 1, "expected": 1}}
    where[0]["keep"] = False  # type: ignore[assignment]
    imports = place(tmp_path, {"code": declare("a.json", where=where)}, code=json_array(ALPACA))
    assert chats(read(tmp_path, imports)[0]) == [COLOURS, SEA]


@pytest.mark.parametrize(("value", "pattern"), [(False, "^False$"), (0, "^0$"), (None, "^$")])
def test_a_column_that_is_no_text_is_matched_as_it_is_written(
    tmp_path: Path, value: Any, pattern: str
) -> None:
    rows = [{**ALPACA[0], "synthetic": value}, {**ALPACA[0], "synthetic": True}]
    where = [{"column": "synthetic", "matches": pattern}]
    imports = place(tmp_path, {"set": declare("a.json", where=where)}, set=json_array(rows))
    harvest, _ = read(tmp_path, imports)
    assert reasons(harvest) == {"kept": 1, "left-out-by-where": 1}


def test_a_number_is_an_answer_in_the_language_of_its_question(tmp_path: Path) -> None:
    row = {"instruction": "¿Cuántos lados tiene un triángulo equilátero?", "output": "3"}
    declared = declare("a.jsonl", input=None)
    del declared["language"]
    imports = place(tmp_path, {"set": declared}, set=json_lines([row]))
    (found,) = read(tmp_path, imports)[0].instructions
    assert found.language == "spa_Latn"


class Listener(NullProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def test_another_number_than_published_is_said(tmp_path: Path) -> None:
    listener = Listener()
    declared = declare("a.json", expected_items=52_002)
    imports = place(tmp_path, {"alpaca": declared}, alpaca=json_array(ALPACA))
    _, counts = read(tmp_path, imports, progress=listener)
    assert listener.said == ["alpaca: 4 items, 52,002 are expected (-51,998)"]
    assert counts == {"alpaca": {"items": 4, "expected": 52_002}}


def test_a_capped_set_is_drawn_by_the_seed(tmp_path: Path) -> None:
    rows = [dict(ALPACA[0], output=f"Colour {number}.") for number in range(200)]
    declared = declare("a.jsonl", max_items=20)
    imports = place(tmp_path, {"set": declared}, set=json_lines(rows))
    harvest, _ = read(tmp_path, imports)
    drawn = ids(harvest.instructions)
    assert drawn == sorted(drawn)
    assert drawn != [f"set/{number:07d}" for number in range(1, 21)]
    assert reasons(harvest) == {"kept": 20, "over-the-cap": 180}
    assert ids(read(tmp_path, imports)[0].instructions) == drawn
    assert ids(read(tmp_path, imports, seed=8)[0].instructions) != drawn


def test_a_chat_that_is_too_long_is_counted(tmp_path: Path) -> None:
    imports = place(tmp_path, {"set": declare("a.json")}, set=json_array(ALPACA))
    assert reasons(read(tmp_path, imports, 70)[0]) == {"kept": 2, "too-long": 1, "empty-part": 1}


def test_languages_come_from_a_column_a_file_or_the_answer(tmp_path: Path) -> None:
    german = "Im Winter ist es kalt und die Tage sind sehr kurz."
    rows = [
        dict(ALPACA[0], output=german, lang="de"),
        dict(ALPACA[0], output="No inverno faz muito frio e os dias são curtos.", lang="pt-BR"),
        dict(ALPACA[0], instruction="1 + 1", output="?", lang="xx"),
    ]
    content = json_lines(rows)
    by_column = declare("a.jsonl", language=None, language_column="lang")
    harvest, _ = read(tmp_path, place(tmp_path, {"set": by_column}, set=content))
    assert [row.language for row in harvest.instructions] == ["deu_Latn", "por_Latn"]
    assert reasons(harvest) == {"kept": 2, "unknown-language-label": 1}
    identified = place(tmp_path, {"set": declare("a.jsonl", language=None)}, set=content)
    harvest, _ = read(tmp_path, identified)
    assert [row.language for row in harvest.instructions] == ["deu_Latn", "por_Latn"]
    assert reasons(harvest) == {"kept": 2, "language-not-identified": 1}
    by_file = declare("a.jsonl", language=None, language_by_file={"a.jsonl": "fra_Latn"})
    harvest, _ = read(tmp_path, place(tmp_path, {"set": by_file}, set=content))
    assert {row.language for row in harvest.instructions} == {"fra_Latn"}


def test_every_missing_set_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    commit = "0" * 40
    imports = as_imports(
        {
            "dolly": declare("d.jsonl", uri=f"hf://datasets/databricks/dolly@{commit}"),
            "web": declare("w.json", uri="https://127.0.0.1:9/files"),
            "mine": declare("m.json"),
            "split": declare("s.json", fetch="python split.py"),
            "there": declare("a.json"),
        }
    )
    (tmp_path / "sources/there").mkdir(parents=True)
    (tmp_path / "sources/there/a.json").write_bytes(json_array(ALPACA))
    elsewhere = {"dolly": str(tmp_path / "none"), "web": str(tmp_path / "none")}
    with pytest.raises(SourceError) as told:
        read(tmp_path, imports, source_locations=elsewhere)
    lines = str(told.value).splitlines()
    assert lines[0] == "4 of 5 sets of `instruct.imports` cannot be used:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["dolly", "mine", "split", "web"]
    assert f"--revision {commit} --local-dir data/00_sources/dolly databricks/dolly d" in lines[1]
    assert "put m.json into data/00_sources/mine" in lines[2]
    assert "make it with `python split.py`" in lines[3]
    assert "--output data/00_sources/web/w.json https://127.0.0.1:9/files/w.json" in lines[4]


def test_a_set_is_fetched_from_its_address_once(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.json").write_bytes(json_array(ALPACA))
    with serve_files(tmp_path / "served") as served:
        imports = as_imports({"set": declare("a.json", uri=served.url)})
        assert chats(read(tmp_path, imports)[0]) == [COLOURS, SEA, LOOP]
        sent = served.sent.total()
        assert chats(read(tmp_path, imports)[0]) == [COLOURS, SEA, LOOP]
        assert served.sent.total() == sent


def test_a_file_that_is_another_than_declared_is_refused(tmp_path: Path) -> None:
    imports = place(tmp_path, {"set": declare("a.json")}, set=json_array(ALPACA))
    (tmp_path / "sources/set/a.json").write_bytes(json_array(ALPACA[:1]))
    with pytest.raises(SourceError, match=r"set: .*a\.json: sha256 is .*declared is"):
        read(tmp_path, imports)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json_array(ALPACA)[:-40], "breaks off or is no JSON after 3 elements"),
        (json_array(ALPACA) + b"{}", "something follows the array"),
        (b"[1, 2]", r"2 of 2 rows are broken \(2 not-an-object\)"),
        (b"nothing\n" + json_lines(ALPACA), r"1 of 5 rows are broken \(1 bad-json\)"),
        (json_lines([{"question": "?", "output": "!"}]), "no row has the column input, instr"),
        (json_lines([dict(ALPACA[0], output=3)]), r"1 of 1 rows are broken \(1 not-text\)"),
        (b'[{"output": "\xff"}]', "not UTF-8"),
    ],
)
def test_a_file_of_another_form_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    imports = place(tmp_path, {"set": declare("a.json")}, set=content)
    with pytest.raises(SourceError, match=message):
        read(tmp_path, imports)


def test_some_broken_rows_are_counted(tmp_path: Path) -> None:
    content = b"nothing\n" + json_lines(ALPACA)
    declared = declare("a.jsonl", max_broken_share=0.2)
    harvest, _ = read(tmp_path, place(tmp_path, {"set": declared}, set=content))
    assert reasons(harvest) == {"kept": 3, "empty-part": 1, "bad-json": 1}
    assert ids(harvest.instructions)[0] == "set/0000002"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": None}, "has no sha256"),
        ({"files": {"a.txt": None}}, "only .json"),
        ({"uri": "hf://datasets/x/y@main"}, "the commit in full"),
        ({"uri": "files/of/mine"}, "source_locations"),
        ({"where": [{"column": "output", "matches": "("}]}, "no regular expression"),
        ({"language_column": "lang"}, "declare one of"),
        ({"language": "english"}, "unknown language"),
        ({"language": None, "language_by_file": {"b.json": "eng_Latn"}}, "differ in a.json"),
    ],
)
def test_a_wrong_declaration_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        as_imports({"set": declare("a.json", **changes)})


@pytest.mark.skipif(not SHARED.is_dir(), reason="published sets do not lie in ../shared/data")
def test_the_released_multialpaca_has_its_published_counts(tmp_path: Path) -> None:
    files = {"es.jsonl.zst": "spa_Latn", "ja.jsonl.zst": "jpn_Jpan"}
    declared = declare(
        "es.jsonl.zst", language=None, files=dict.fromkeys(files), language_by_file=files
    )
    alpaca = declare("alpaca_zh_demo.json", language="zho_Hans")
    places = {"multialpaca": "multialpaca", "alpaca": "instructions"}
    harvest, counts = read(
        tmp_path,
        as_imports({"multialpaca": declared, "alpaca": alpaca}),
        max_bytes=100_000,
        source_locations={name: str(SHARED / folder) for name, folder in places.items()},
    )
    assert counts == {"multialpaca": {"items": 9958 + 10191}, "alpaca": {"items": 1000}}
    kept = {
        language: count
        for (name, language, _, reason), count in harvest.funnel.counts.items()
        if name == "multialpaca" and reason == "kept"
    }
    assert kept == {"spa_Latn": 9958, "jpn_Jpan": 10190}
    first = next(row for row in harvest.instructions if row.language == "spa_Latn")
    assert first.id == "multialpaca/es.jsonl/0000001"
    assert first.messages[0].content.startswith('Escribe una oración con el adjetivo "grande"')
