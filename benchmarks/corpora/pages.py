"""Text of HTML and Mallard pages: one line a block element."""

from __future__ import annotations

from pathlib import Path

from lxml import etree, html

from benchmarks.corpora.lines import joined

_SKIPPED = frozenset(["script", "style", "head", "info", "svg", "math", "figure", "media"])
_BLOCKS = frozenset(
    "p div h1 h2 h3 h4 h5 h6 li dt dd td th tr table ul ol dl pre blockquote section article nav "
    "header footer main br hr title desc item note steps list terms screen code body page".split()
)
_LINES_KEPT = frozenset(["pre", "screen", "code"])


def page_text(path: Path) -> str:
    """Return the page's lines; `""` for a page that cannot be parsed."""
    content = path.read_bytes()
    try:
        if path.suffix == ".page":
            root = etree.fromstring(content, etree.XMLParser(recover=True))
        else:
            root = html.document_fromstring(content, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError):
        return ""
    return "" if root is None else joined("".join(_pieces(root)).split("\n"))


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _pieces(root: etree._Element) -> list[str]:
    pieces: list[str] = []
    verbatim = 0
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        name = _name(element)
        if event == "start":
            if not name or name in _SKIPPED:
                walker.skip_subtree()
                continue
            verbatim += name in _LINES_KEPT
            text = element.text or ""
            pieces += ["\n"] if name in _BLOCKS else []
        else:
            skipped = not name or name in _SKIPPED
            verbatim -= not skipped and name in _LINES_KEPT
            text = element.tail or ""
            pieces += ["\n"] if name in _BLOCKS else []
        pieces.append(text if verbatim else text.replace("\n", " "))
    return pieces
