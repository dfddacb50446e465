"""Wikipedia's dumps: articles become prose, other pages are passed over."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest

from polylm_core.errors import SourceError
from polylm_core.stages.ingest.wiki import prose_of
from tests.unit.stages.ingest_inputs import documents_of, run_files, skipped_of

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="sw">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <base>https://sw.wikipedia.org/wiki/Mwanzo</base>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Picha</namespace>
      <namespace key="14" case="first-letter">Jamii</namespace>
    </namespaces>
  </siteinfo>
"""
NAMESPACES = frozenset({"picha", "jamii", "file"})
SWAHILI = {"format": "wikipedia", "language": "swh_Latn"}


def page(number: int, title: str, text: str, namespace: int = 0, redirect: str = "") -> str:
    turned = f'<redirect title="{redirect}" />' if redirect else ""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns><id>{number}</id>{turned}<revision>"
        f'<id>{number}9</id><text xml:space="preserve">{escaped}</text></revision></page>\n'
    )


PAGES = [
    page(12, "Dar es Salaam", "'''Dar es Salaam''' ni [[jiji]] kubwa la [[Tanzania|nchi]]."),
    page(13, "Dar", "#REDIRECT [[Dar es Salaam]]", redirect="Dar es Salaam"),
    page(14, "Jamii:Miji", "Ukurasa wa jamii.", namespace=14),
    page(15, "Tupu", "{{kigezo|a={{kingine}}}}"),
    page(16, "Mto", "Mto ni [[maji]] yanayotembea.<ref>{{cite web|url=x}}</ref>"),
]


def dump(*pages: str) -> str:
    return HEAD + "".join(pages) + "</mediawiki>\n"


def test_articles_have_their_page_id_and_address(tmp_path: Path) -> None:
    content = dump(*PAGES)
    # Two bzip2 streams, as the multistream dumps have a hundred pages in each.
    packed = bz2.compress(content[:900].encode()) + bz2.compress(content[900:].encode())
    made = run_files(tmp_path, SWAHILI, {"swwiki-20260901-pages-articles.xml.bz2": packed})
    assert [(each.id, each.text, each.url) for each in documents_of(made)] == [
        (
            "mine/swh_Latn/12",
            "Dar es Salaam ni jiji kubwa la nchi.",
            "https://sw.wikipedia.org/wiki/Dar_es_Salaam",
        ),
        ("mine/swh_Latn/16", "Mto ni maji yanayotembea.", "https://sw.wikipedia.org/wiki/Mto"),
    ]
    assert skipped_of(made) == [
        (2, "redirect", "Dar"),
        (3, "not-an-article", "Jamii:Miji"),
        (4, "empty-text", ""),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bz2.compress(dump(*PAGES).encode())[:-30], "truncated or damaged"),
        (bz2.compress(dump(*PAGES).encode()[:-300]), "not well-formed XML"),
        (bz2.compress(b"<mediawiki></mediawiki>"), "no siteinfo: not a dump of a wiki"),
        (bz2.compress(b"plain text"), "not well-formed XML"),
    ],
)
def test_a_dump_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=rf"mine/a\.xml\.bz2: {message}"):
        run_files(tmp_path, SWAHILI, {"a.xml.bz2": content})


def test_entities_of_a_dump_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("siri")
    bomb = f'<!DOCTYPE x [<!ENTITY a "neno neno "><!ENTITY b SYSTEM "file://{secret}">]>' + dump(
        page(1, "A", "Maneno ENTITY hapa.")
    ).replace("ENTITY", "&a;&b;")
    made = run_files(tmp_path, SWAHILI, {"a.xml": bomb.encode()})
    assert "siri" not in "".join(each.text for each in documents_of(made))
    assert "neno neno" not in "".join(each.text for each in documents_of(made))


@pytest.mark.parametrize(
    ("wikitext", "prose"),
    [
        ("{{Box|a={{b|{{c}}}}|d=[[e]]}}Maneno.", "Maneno."),
        ("Kabla.\n{| class=x\n! a\n|-\n| {| \n| b\n|}\n|}\nBaada.", "Kabla.\nBaada."),
        ("[[Picha:A.jpg|thumb|Mji [[jiji|wa]] zamani]]Maneno.", "Maneno."),
        ("Maneno.[[Jamii:Miji]][[en:City]]", "Maneno."),
        ("[[:en:City|Mji]] na [[London]]", "Mji na London"),
        (
            "== Historia ==\nZamani.\n\n\n* moja\n** mbili\n# tatu",
            "Historia\nZamani.\nmoja\nmbili\ntatu",
        ),
        ("a<ref name=x/>b<ref>c</ref>d<!-- e -->f", "abdf"),
        ("''mlalo'' '''nene''' <b>b</b> &amp; &nbsp;x", "mlalo nene b & \xa0x"),
        ("[http://x.org Tovuti] __NOTOC__", "Tovuti"),
        ("<math>x^2</math><gallery>\na.jpg|b\n</gallery>Maneno.", "Maneno."),
        ("moja<br/>mbili", "moja\nmbili"),
        ("&#xD800; sawa", "? sawa"),
        ("'''Paris''' ({{IPA|paʁi}}; {{s|x}}) ni [[mji]] (mkubwa).", "Paris ni mji (mkubwa)."),
        ("{{ haijafungwa", "{{ haijafungwa"),
        ("#ТЕКСТ и ещё", "ТЕКСТ и ещё"),
    ],
)
def test_markup_becomes_prose(wikitext: str, prose: str) -> None:
    assert prose_of(wikitext, NAMESPACES) == prose
