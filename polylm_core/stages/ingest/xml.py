"""Elements of an XML stream one at a time, in bounded memory and without looking anything up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from polylm_core.lines import BrokenFileError, Readable


def elements(stream: Readable, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield each element of one of the names, in any namespace; it is emptied afterwards.

    Raises BrokenFileError for what is not well-formed, a truncated file among it.
    """
    # Entities are not resolved and no DTD is loaded: a file of some kilobytes could grow to
    # gigabytes by the one, and have files of this machine read by the other.
    events = etree.iterparse(
        stream,
        events=("end",),
        tag=tuple(f"{{*}}{name}" for name in names),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for _, element in events:
            yield element
            element.clear()
            # The root would keep an empty element for every page.
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise BrokenFileError(f"not well-formed XML ({error.msg})") from error
