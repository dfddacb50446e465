"""Dumps of Wikipedia: pages in XML, and their wikitext as prose.

The dumps with wikitext (`pages-articles`) are the ones that every wiki has, dated and kept; the
search index's dumps are plain text but in one line a page, those in HTML are no longer made.
mwparserfromhell (MIT) reads the wikitext. Templates, tables and references are cut out before, by
their brackets: they are no prose, and most of its time (0.7 MB/s with them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mwparserfromhell
from mwparserfromhell.nodes import Heading, Node, Tag, Text, Wikilink
from mwparserfromhell.parser import ParserError

from polylm_core.lines import MAX_RECORD_BYTES, BrokenFileError
from polylm_core.records import Document
from polylm_core.remote import InputFile
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.config import WikipediaSource
from polylm_core.stages.ingest.job import Job
from polylm_core.stages.ingest.xml import elements

ARTICLES = "0"
MAX_NESTING = 40
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
TEMPLATE = re.compile(r"\{\{(?:[^{}]++|\{(?!\{)|\}(?!\}))*+\}\}")
TABLE = re.compile(r"\{\|(?:(?!\{\|)(?!\|\}).)*\|\}", re.DOTALL)
EMPTY_REFERENCE = re.compile(r"<ref\b[^<>]*/>", re.IGNORECASE)
CUT = (
    "ref",
    "gallery",
    "math",
    "chem",
    "score",
    "syntaxhighlight",
    "source",
    "timeline",
    "imagemap",
)
CUT_TAG = re.compile(rf"<({'|'.join(CUT)})\b[^<>]*(?<!/)>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
SWITCH = re.compile(r"__[A-Z]+__")
EMPTIED_BRACKETS = re.compile(r" ?[(（][ ,;:，、；]*[)）]")
"""What is left of a pronunciation or a date that a template gave."""
BLANK_LINES = re.compile(r"\n\s*\n\s*")
INTERWIKI = re.compile(r"^[a-z]{2,3}(-[a-z]+)*$")


@dataclass(frozen=True, slots=True)
class Site:
    """What a dump says of its wiki."""

    base: str = ""
    """Address of the folder of its articles."""
    namespaces: frozenset[str] = frozenset()
    """Names of the namespaces that are no articles, in lower case."""


def read_wikipedia(job: Job, file: InputFile, declared: WikipediaSource) -> Iterator[Document]:
    """Yield the articles of a dump; redirects and pages of other kinds are passed over."""
    site: Site | None = None
    number = 0
    with job.opened(file) as stream:
        for element in elements(stream, ("siteinfo", "page")):
            if element.tag.endswith("siteinfo"):
                site = _site(element)
                continue
            if site is None:
                raise BrokenFileError("a page before any siteinfo: not a dump of a wiki")
            number += 1
            yield from _article(job, file, declared.language, site, number, element)
        if site is None:
            raise BrokenFileError("no siteinfo: not a dump of a wiki")


def _site(element: Any) -> Site:
    base = element.findtext("{*}base") or ""
    names = (namespace.text for namespace in element.iterfind("{*}namespaces/{*}namespace"))
    canonical = {"file", "image", "category", "media"}
    return Site(
        base=base.rsplit("/", 1)[0] + "/" if "/" in base else "",
        namespaces=frozenset({name.lower() for name in names if name} | canonical),
    )


def _article(
    job: Job, file: InputFile, language: str, site: Site, number: int, page: Any
) -> Iterator[Document]:
    title = page.findtext("{*}title") or ""
    text = page.findtext("{*}revision/{*}text")
    if page.findtext("{*}ns") != ARTICLES:
        job.skips.add(file.name, number, skipped.NOT_AN_ARTICLE, title)
    elif page.find("{*}redirect") is not None:
        job.skips.add(file.name, number, skipped.REDIRECT, title)
    elif text is None:
        job.skips.add(file.name, number, skipped.NULL_TEXT, title)
    elif len(text) > MAX_RECORD_BYTES // 4:
        job.skips.add(file.name, number, skipped.TOO_LONG, title)
    else:
        url = site.base + title.replace(" ", "_") if site.base else None
        try:
            prose = prose_of(text, site.namespaces)
        except ParserError as error:
            job.skips.add(file.name, number, skipped.BAD_RECORD, f"{title}: {error}")
            return
        key = page.findtext("{*}id")
        yield from job.document(file, number, prose, key=key, language=language, url=url)


def prose_of(wikitext: str, namespaces: frozenset[str]) -> str:
    """Return paragraphs, headings and list items, a line each; the rest of the markup is gone."""
    parsed = mwparserfromhell.parse(_without_boxes(wikitext), skip_style_tags=True)
    text = "".join(_words(node, namespaces) for node in parsed.nodes)
    # Half of a surrogate pair can be spelt as a numeric reference.
    text = (
        EMPTIED_BRACKETS.sub("", SWITCH.sub("", text))
        .encode("utf-8", errors="replace")
        .decode("utf-8")
    )
    lines = (
        line.strip("*#:; \t") if line[:1] in "*#:;" else line.strip()
        for line in BLANK_LINES.sub("\n", text.replace("'''", "").replace("''", "")).split("\n")
    )
    return "\n".join(line for line in lines if line)


def _without_boxes(wikitext: str) -> str:
    """Cut out what is no prose, innermost first."""
    text = CUT_TAG.sub("", EMPTY_REFERENCE.sub("", COMMENT.sub("", wikitext)))
    for pattern in (TEMPLATE, TABLE):
        for _ in range(MAX_NESTING):
            text, found = pattern.subn("", text)
            if not found:
                break
    return text


def _words(node: Node, namespaces: frozenset[str]) -> str:
    if isinstance(node, Text):
        return str(node.value)
    if isinstance(node, Wikilink):
        return _link(node, namespaces)
    if isinstance(node, Heading):
        return f"\n{_inside(node.title, namespaces)}\n"
    if isinstance(node, Tag):
        return _inside(node.contents, namespaces) if node.contents else "\n" * (node.tag == "br")
    return node.__strip__(normalize=True, collapse=False, keep_template_params=False) or ""


def _inside(code: Any, namespaces: frozenset[str]) -> str:
    return "".join(_words(node, namespaces) for node in code.nodes)


def _link(link: Wikilink, namespaces: frozenset[str]) -> str:
    """What a link shows; nothing for images, categories and the page in another language."""
    title = str(link.title)
    namespace, colon, _ = title.partition(":")
    known = namespace.strip().lower()
    if colon and known and (known in namespaces or INTERWIKI.match(known)):
        return ""
    return _inside(link.text, namespaces) if link.text is not None else title.lstrip(":")
