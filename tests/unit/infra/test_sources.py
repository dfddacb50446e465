"""The text sources: how package files are read, aligned, written, recorded and refused."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.sources import __main__ as command_line
from infra.sources import rebuild as rebuilding
from infra.sources.catalogue import Source
from infra.sources.declarations import align, read_declaration, script_of
from infra.sources.errors import SourcesError
from infra.sources.help_pages import choose_pages, page_rows, read_page
from infra.sources.languages import POLYLM
from infra.sources.packages import PackageFile, Wanted, unpack
from infra.sources.paks import is_prose, read_pak, readable
from infra.sources.tables import Row, aligned, columns, compress, distinct, read_lines
from infra.sources.text import clean, is_untranslated

COMMITTED = Path(__file__).parents[3] / "data" / "00_sources"

ENGLISH_PAGE = """
<div id="DisplayArea"><h1 id="hd_id1" dir="auto"><a name="x"></a>Insert a  chart</h1>
<p id="par_id2" class="paragraph">Choose <span class="switchinline"><span hidden="true"
class="MAC" id="MACa"><span class="emph">Preferences</span></span><span hidden="true"
id="defaulta"><span class="emph">Tools &ndash; Options</span></span></span> first.</p>
<p id="par_id3" class="code">Print "hello big world"</p>
<p class="related">Related Topics</p></div>
"""
GERMAN_PAGE = """
<h1 id="hd_id1">Ein Diagramm einfügen</h1>
<p id="par_id2">Wählen Sie zuerst <span class="switchinline"><span hidden="true"
id="defaulta">Extras</span></span>.</p>
"""


def pak(strings: dict[int, bytes]) -> bytes:
    table, data = b"", b"".join(strings.values())
    offset = 12 + 6 * (len(strings) + 1)
    for identifier, value in strings.items():
        table += struct.pack("<HI", identifier, offset)
        offset += len(value)
    table += struct.pack("<HI", 0, offset)
    return struct.pack("<IB3xHH", 5, 1, len(strings), 0) + table + data


def declaration(article: str, number: int = 1) -> str:
    return f"<h1>Title</h1><header></header><article data-number='{number}'>{article}</article>"


def npm_package(folder: Path, content: str, version: str = "1.0.0") -> Path:
    path = folder / f"tiny-{version}.tgz"
    payload = content.encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/text")
        member.size = len(payload)
        archive.addfile(member, io.BytesIO(payload))
    return path


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The packages folder of a one-source catalogue; its package holds `english|german` lines."""

    def build(unpacked: Mapping[str, Path]) -> list[Row]:
        pairs = [line.split("|") for line in (unpacked["tiny"] / "package/text").open()]
        return distinct(
            aligned("page", str(i), {"eng_Latn": clean(e), "deu_Latn": clean(d)})
            for i, (e, d) in enumerate(pairs, start=1)
        )

    source = Source("tiny", "MIT", "tiny", "line", (Wanted("tiny", "npm", "1.0.0"),), build)
    monkeypatch.setattr(rebuilding, "SOURCES", (source,))
    packages = tmp_path / "packages"
    packages.mkdir()
    npm_package(packages, "Open the file|Die Datei öffnen\nClose it|Close it\nOpen the file|x\n")
    return packages


def test_a_help_page_gives_its_paragraphs_by_id_without_code_and_other_platforms() -> None:
    assert read_page(ENGLISH_PAGE) == {
        "hd_id1": "Insert a chart",
        "par_id2": "Choose Tools \N{EN DASH} Options first.",
    }


def test_paragraphs_with_the_same_id_are_aligned() -> None:
    pages = {
        "eng_Latn": {"a/b": read_page(ENGLISH_PAGE)},
        "deu_Latn": {"a/b": read_page(GERMAN_PAGE)},
        "jpn_Jpan": {},
    }
    rows = page_rows("a/b", pages)
    assert [(row.document, row.unit) for row in rows] == [("a/b", "1"), ("a/b", "2")]
    assert [row.texts["deu_Latn"] for row in rows] == [
        "Ein Diagramm einfügen",
        "Wählen Sie zuerst Extras.",
    ]
    assert all("jpn_Jpan" not in row.texts for row in rows)


def test_pages_of_prose_are_chosen_first_and_whole_until_the_budget_is_met() -> None:
    prose = [Row("p", str(i), {"eng_Latn": f"This is sentence number {i} of it"}) for i in "abc"]
    menu = [Row("m", str(i), {"eng_Latn": f"Open {i}"}) for i in "abc"]
    size = sum(len(row.texts["eng_Latn"]) for row in prose)
    assert choose_pages({"menu": menu, "prose": prose}, max_text_bytes=size) == ["prose"]
    assert choose_pages({"menu": menu, "prose": prose}) == ["menu", "prose"]


def test_a_pak_file_gives_its_strings_by_resource_id() -> None:
    payload = pak({7: b"New tab", 9: "Neuer Tab für dich".encode(), 11: b"\xff\xfe\x00"})
    assert read_pak(payload) == {7: "New tab", 9: "Neuer Tab für dich"}


@pytest.mark.parametrize("payload", [b"", b"PK\x03\x04" * 8, pak({7: b"New tab"})[:20]])
def test_bytes_that_are_no_pak_file_are_refused(payload: bytes) -> None:
    with pytest.raises(SourcesError, match="pak"):
        read_pak(payload)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("E&xport to $1…", "Export to $1…"),
        ("エクスポート(&E)...", "エクスポート..."),
        ("Web &amp; App Activity", "Web & App Activity"),
        ("Q&A", "Q&A"),
        ('Visit <a href="#">$1</a><br>now', "Visit $1 now"),
        (
            "{N,plural, =1{One tab open}other{# tabs, {X,select, a{A}other{all}} open}}!",
            "{N} tabs, all open!",
        ),
    ],
)
def test_an_interface_string_becomes_the_text_a_user_reads(raw: str, shown: str) -> None:
    assert readable(raw) == shown


def test_addresses_keywords_and_single_words_are_not_prose() -> None:
    assert is_prose("Close all tabs")
    assert not is_prose("Close")
    assert not is_prose("change password, edit password, manage password")
    assert not is_prose("See https://example.org/help for more")


def test_articles_with_another_number_of_paragraphs_are_left_out() -> None:
    english = read_declaration(declaration("<p>One.</p><p>Two.</p>"))[1]
    same = read_declaration(declaration("<h2>Art 1</h2><p>Eins.</p><p>Zwei.</p>"))[1]
    other = read_declaration(declaration("<p>Un. Deux.</p>"))[1]
    rows = align({"eng_Latn": english, "deu_Latn": same, "fra_Latn": other})
    assert [row.texts.get("deu_Latn") for row in rows] == [None, "Eins.", "Zwei."]
    assert [row.document for row in rows] == ["title", "article/01", "article/01"]
    assert all("fra_Latn" not in row.texts for row in rows)


def test_the_script_of_a_text_is_that_of_most_of_its_letters() -> None:
    assert script_of({"title": ["Люди (all)"]}) == "Cyrl"
    assert script_of({"title": ["มนุษย์ทั้งหลาย"]}) == "Thai"
    assert script_of({"title": ["123"]}) == ""


def test_text_is_one_line_in_composed_form() -> None:
    assert clean(" e\u0301te\u0301\u00a0!\n\tA\u00adB\u200f ") == "été ! AB"


def test_english_text_in_a_translation_is_left_empty() -> None:
    english = "Click the name to open the list of all styles"
    assert is_untranslated(english, english)
    assert is_untranslated("Click the name to open the list of styles", english)
    assert not is_untranslated("Klik de naam om de lijst van alle stijlen te openen", english)
    assert not is_untranslated("LibreOffice Basic のヘルプ", "LibreOffice Basic Help")


def test_every_column_has_as_many_lines_as_the_keys() -> None:
    rows = [Row("d", "1", {"eng_Latn": "a"}), Row("d", "2", {"eng_Latn": "b", "deu_Latn": "c"})]
    assert columns(rows) == {
        "keys": ["d\t1", "d\t2"],
        "deu_Latn": ["", "c"],
        "eng_Latn": ["a", "b"],
    }


def test_the_same_lines_compress_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    path.write_bytes(compress(["ä", "", "b"]))
    assert path.read_bytes() == compress(["ä", "", "b"])
    assert read_lines(path) == ["ä", "", "b"]


def test_two_rebuilds_write_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        rebuilding.rebuild(tiny, tmp_path / name)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "tiny").iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert sorted(one) == ["deu_Latn.txt.xz", "eng_Latn.txt.xz", "keys.txt.xz", "source.yaml"]
    assert read_lines(tmp_path / "one/tiny/eng_Latn.txt.xz") == ["Open the file", "Close it"]
    assert read_lines(tmp_path / "one/tiny/deu_Latn.txt.xz") == ["Die Datei öffnen", ""]
    assert rebuilding.verify(tmp_path / "one") == ["tiny: 3 files as recorded"]


def test_a_package_file_with_another_sha256_is_refused_in_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rebuilding.rebuild(tiny, out)
    before = hashlib.sha256((tiny / "tiny-1.0.0.tgz").read_bytes()).hexdigest()
    after = hashlib.sha256(npm_package(tiny, "Go on now|Weiter\n").read_bytes()).hexdigest()
    arguments = ["rebuild", "--packages", str(tiny), "--out", str(out)]
    assert command_line.main(arguments) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(part in message for part in ("tiny-1.0.0.tgz", before, after))
    assert read_lines(out / "tiny/eng_Latn.txt.xz") == ["Open the file", "Close it"]
    assert command_line.main([*arguments, "--accept-new-packages"]) == 0
    assert read_lines(out / "tiny/eng_Latn.txt.xz") == ["Go on now"]


def test_a_changed_or_missing_file_fails_the_verification(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuilding.rebuild(tiny, tmp_path)
    column = tmp_path / "tiny/deu_Latn.txt.xz"
    column.write_bytes(compress(["Etwas anderes", ""]))
    assert command_line.main(["verify", "--out", str(tmp_path)]) == 1
    assert "deu_Latn.txt.xz: expected sha256" in capsys.readouterr().err
    column.unlink()
    assert command_line.main(["verify", "--out", str(tmp_path)]) == 1
    assert "missing" in capsys.readouterr().err


def test_a_package_that_reaches_outside_its_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
    with pytest.raises(SourcesError, match=r"bad\.tgz: cannot be unpacked"):
        unpack(PackageFile("bad", "1", "npm", "", path), tmp_path / "inside")
    assert not (tmp_path / "escaped").exists()


def test_the_committed_sources_are_as_recorded_and_cover_all_languages() -> None:
    assert len(rebuilding.verify(COMMITTED)) == 3
    for language in POLYLM:
        texts = [
            text
            for path in sorted(COMMITTED.glob(f"*/{language}.txt.xz"))
            for text in read_lines(path)
        ]
        assert sum(len(text.encode()) for text in texts) >= 300_000, language
