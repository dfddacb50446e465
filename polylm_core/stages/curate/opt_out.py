"""Text that may not be used, whatever its quality: documents by id or domain, pairs by id.

A pair goes with the documents it was made from, by their ids; pairs have no address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from polylm_core.stages.curate.config import OptOutConfig
from polylm_core.stages.curate.rows import Rows

FILTER = "opt-out"
REASONS = ("id", "domain")
ID, DOMAIN = range(2)

Verdicts = npt.NDArray[np.integer[Any]]


def verdicts(rows: Rows, config: OptOutConfig) -> Verdicts:
    """The index in `REASONS` of why a document or pair may not be used, -1 where it may."""
    found = np.full(len(rows), -1, np.int64)
    if config.ids:
        known = frozenset(config.ids)
        ids = rows.columns.column("id").to_pylist()
        flags = [not known.isdisjoint(_documents(id)) for id in ids]
        found[np.array(flags, np.bool_)] = ID
    if config.domains:
        domains = [domain.lower().strip(".") for domain in config.domains]
        urls = rows.columns.column("url").to_pylist()
        flags = [bool(url) and _is_of(url, domains) for url in urls]
        found[np.array(flags, np.bool_) & (found < 0)] = DOMAIN
    return found


def _documents(identifier: str) -> Iterator[str]:
    """The id itself; of a pair (`source/a-b/document#unit`) also its documents' ids."""
    yield identifier
    source, _, rest = identifier.partition("/")
    languages, _, document = rest.partition("/")
    if "-" in languages:
        for language in languages.split("-"):
            yield f"{source}/{language}/{document.rpartition('#')[0]}"


def _is_of(url: str, domains: Sequence[str]) -> bool:
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:  # a crawl has addresses that are none, and such a one is in no domain
        return False
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
