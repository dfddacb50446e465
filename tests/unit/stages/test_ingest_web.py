"""Common Crawl's WET and WARC files: pages become documents, also after a broken record."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest

from polylm_core.artifacts import DocumentSet
from polylm_core.errors import SourceError
from polylm_core.stages.ingest import archive
from tests.unit.stages.ingest_inputs import (
    documents_of,
    gzip_members,
    run_files,
    skipped_of,
    texts_of,
    warc_record,
)

INFO = warc_record("warcinfo", "", b"software: test\r\n", 99)
PAGES = [
    warc_record("conversion", f"https://example.org/{n}", f"Habari namba {n}.".encode(), n)
    for n in range(1, 5)
]
PARAGRAPH = (
    "Die Bibliothek am Markt öffnet ihre Türen jeden Morgen um neun Uhr, und schon kurz danach "
    "sitzen die ersten Leser an den langen Tischen am Fenster."
)
MENU = "<nav><ul><li><a href='/'>Startseite</a></li><li><a href='/k'>Kontakt</a></li></ul></nav>"
HTML = (
    f"<html><head><title>Bibliothek</title></head><body>{MENU}<article><h1>Die Bibliothek</h1>"
    f"<p>{PARAGRAPH}</p><p>{PARAGRAPH.replace('Morgen', 'Abend')}</p></article>"
    "<footer>Impressum und Datenschutz</footer></body></html>"
)


def http(
    body: bytes, status: str = "200 OK", content_type: str = "text/html", **more: str
) -> bytes:
    headers = {"Content-Type": content_type, **{k.replace("_", "-"): v for k, v in more.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def run_wet(tmp_path: Path, *records: bytes, share: float = 0.5) -> DocumentSet:
    declared = {"format": "wet", "max_broken_share": share}
    return run_files(tmp_path, declared, {"a.warc.wet.gz": gzip_members(*records)})


def run_warc(tmp_path: Path, *answers: bytes) -> DocumentSet:
    records = [
        warc_record("response", f"https://example.org/{number}", answer, number)
        for number, answer in enumerate(answers, start=1)
    ]
    declared = {"format": "warc", "max_broken_share": 0.5}
    return run_files(tmp_path, declared, {"a.warc.gz": gzip_members(INFO, *records)})


def test_wet_pages_have_address_and_the_archives_id(tmp_path: Path) -> None:
    made = run_wet(tmp_path, INFO, *PAGES)
    assert texts_of(made) == [f"Habari namba {n}." for n in range(1, 5)]
    second = documents_of(made)[1]
    assert second.id == "mine/und/00000002-0000-4000-8000-000000000000"
    assert (second.url, second.language) == ("https://example.org/2", "")


def test_a_page_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    bad = warc_record("conversion", "https://example.org/x", b"Sch\xf6n", 9)
    made = run_wet(tmp_path, PAGES[0], bad, PAGES[1])
    assert texts_of(made) == ["Habari namba 1.", "Habari namba 2."]
    assert skipped_of(made) == [(2, "not-utf8", "Sch�n")]


@pytest.mark.parametrize("length", ["4", "9999", "99999999999", "x"])
def test_reading_goes_on_after_a_record_of_a_wrong_length(tmp_path: Path, length: str) -> None:
    content = b"Urefu wa rekodi hii si kweli."
    bad = warc_record("conversion", "https://a.example/x", content, 9, **{"Content-Length": length})
    made = run_wet(tmp_path, PAGES[0], PAGES[1], bad, PAGES[2], PAGES[3])
    numbers = [text[-2] for text in texts_of(made) if text.startswith("Habari")]
    assert numbers == ["1", "2", "3", "4"]
    assert made.counts["skipped"]["mine"]["bad-record"] >= 1
    assert "Urefu wa rekodi hii" not in "".join(texts_of(made))


def test_reading_goes_on_after_garbage(tmp_path: Path) -> None:
    made = run_wet(tmp_path, PAGES[0], b"\x00garbage\r\n" * 9_000, PAGES[1], PAGES[2])
    assert [text[-2] for text in texts_of(made)] == ["1", "2", "3"]
    assert made.counts["skipped"]["mine"]["bad-record"] == 1


def test_a_record_too_long_to_hold_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_RECORD_BYTES", 200_000)
    monkeypatch.setattr(archive, "MAX_HELD_BYTES", 400_000)
    long = warc_record("conversion", "https://a.example/x", b"neno " * 300_000, 9)
    made = run_wet(tmp_path, PAGES[0], long, PAGES[1])
    assert [text[-2] for text in texts_of(made)] == ["1", "2"]
    [(position, reason, why)] = skipped_of(made)
    assert (position, reason) == (2, "bad-record")
    assert "1500000 bytes, at most 200000" in why


@pytest.mark.parametrize("cut", [3, 20, 200])
def test_a_truncated_archive_is_named(tmp_path: Path, cut: int) -> None:
    content = gzip_members(INFO, *PAGES)[:-cut]
    with pytest.raises(SourceError, match=r"mine/a\.warc\.wet\.gz: truncated or damaged"):
        run_files(tmp_path, {"format": "wet"}, {"a.warc.wet.gz": content})


def test_the_end_of_an_archive_cut_short_is_a_broken_record(tmp_path: Path) -> None:
    content = b"".join(PAGES)[:-12]
    declared = {"format": "wet", "max_broken_share": 0.5}
    made = run_files(tmp_path, declared, {"a.warc.wet": content})
    assert len(texts_of(made)) == 3
    assert "cut short" in skipped_of(made)[0][2]


def test_the_main_text_of_a_page_is_found(tmp_path: Path) -> None:
    made = run_warc(tmp_path, http(HTML.encode(), content_type="text/html; charset=utf-8"))
    [text] = texts_of(made)
    assert PARAGRAPH in text
    assert "Die Bibliothek" in text
    assert "Startseite" not in text
    assert "Impressum" not in text
    assert documents_of(made)[0].url == "https://example.org/1"


@pytest.mark.parametrize(
    "answer",
    [
        http(HTML.encode("latin-1"), content_type="text/html; charset=ISO-8859-1"),
        http(HTML.encode("utf-16"), content_type="text/html; charset=utf-16"),
        http(HTML.encode(), content_type="text/html; charset=no-such"),
        http(gzip.compress(HTML.encode(), mtime=0), Content_Encoding="gzip"),
        http(
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(HTML.encode()), HTML.encode()),
            Transfer_Encoding="chunked",
        ),
    ],
)
def test_encodings_of_the_web_are_undone(tmp_path: Path, answer: bytes) -> None:
    [text] = texts_of(run_warc(tmp_path, answer))
    assert PARAGRAPH in text


def test_what_is_no_page_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    made = run_warc(
        tmp_path,
        http(HTML.encode()),
        http(HTML.encode(), status="404 Not Found"),
        http(b"\x89PNG", content_type="image/png"),
        http(b"<html><body></body></html>"),
        b"no HTTP at all",
    )
    assert len(texts_of(made)) == 1
    counts: Mapping[str, int] = made.counts["skipped"]["mine"]
    assert counts == {"not-a-page": 1, "not-html": 1, "nothing-extracted": 1, "bad-record": 1}
    assert skipped_of(made)[0][2] == "404 https://example.org/2"
