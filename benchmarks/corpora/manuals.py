"""Text of manual pages: roff requests and escapes removed, lines joined to paragraphs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from benchmarks.corpora.lines import joined

_UNSPACED = frozenset(["zho_Hans", "zho_Hant", "jpn_Jpan"])
_NAMED = {
    "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "em": "—", "en": "–",
    "bu": "•", "co": "©", "rg": "®", "Fo": "«", "Fc": "»", "ti": "~", "ha": "^", "rs": "\\",
    "sq": "□", "->": "→", "mu": "×", "ga": "`", "aa": "´", "hy": "-", "ss": "ß", ":a": "ä",
    ":o": "ö", ":u": "ü", "'e": "é", "`e": "è", "`a": "à", ",c": "ç", "^e": "ê", "^o": "ô",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:"
    r"\[u(?P<code>[0-9A-Fa-f]{4,6})\]|\[(?P<long>[^\]]*)\]|\((?P<short>..)"
    r"|f(?:\[[^\]]*\]|\(..|.)|s[+-]?\d+|[*n](?:\[[^\]]*\]|\(..|.)|[vhw]'[^']*'|m\[[^\]]*\]"
    r"|(?P<char>.))"
)
_CHARS = {"-": "-", "e": "\\", " ": " ", "~": " ", "0": " ", "'": "'", "`": "`", ".": "."}
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_FONTS = frozenset(["B", "I", "BR", "RB", "IR", "RI", "BI", "IB", "SB", "SM"])
_BREAKS = frozenset(["PP", "P", "LP", "TP", "IP", "HP", "RS", "RE", "br", "sp", "Pp", "It", "TQ"])
_HEADINGS = frozenset(["SH", "SS", "Sh", "Ss"])
_INLINE = frozenset(["Nm", "Fl", "Ar", "Cm", "Pa", "Nd", "Xr", "Em", "Sy", "Li", "Dq", "Sq", "Ql"])


def manual_text(path: Path, language: str) -> str:
    """Return the manual's text; `""` for a page that only names another."""
    source = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    separator = "" if language in _UNSPACED else " "
    lines: list[str] = []
    paragraph: list[str] = []
    filled, defining = True, False
    for line in source.split("\n"):
        if defining:
            defining = line != ".."
            continue
        text, request = _line(line)
        defining = request in ("de", "ig", "am")
        ends = request in _BREAKS or request in _HEADINGS or not line.strip() or not filled
        if ends and paragraph:
            lines.append(separator.join(paragraph))
            paragraph = []
        if request in _HEADINGS:
            lines.append(text)
        elif text:
            paragraph.append(text)
        filled = request != "nf" if request in ("nf", "fi") else filled
    return joined([*lines, separator.join(paragraph)])


def _line(line: str) -> tuple[str, str]:
    """Text of a line, and the name of its request or `""`."""
    if not line.startswith((".", "'")):
        return _plain(line), ""
    request, _, rest = line[1:].strip().partition(" ")
    if request in _FONTS:
        separator = " " if len(request) == 1 or request in ("SB", "SM") else ""
        return _plain(separator.join(_arguments(rest))), request
    if request in _HEADINGS or request in _INLINE:
        return _plain(" ".join(_arguments(rest))), request
    if request in ("IP", "TP", "It"):
        return _plain(" ".join(_arguments(rest)[:1])) if request == "IP" else "", request
    return "", request


def _arguments(rest: str) -> list[str]:
    return [quoted or plain for quoted, plain in _ARGUMENT.findall(rest.split('\\"')[0])]


def _plain(text: str) -> str:
    return _ESCAPE.sub(_replacement, text) if "\\" in text else text


def _replacement(match: re.Match[str]) -> str:
    if match["code"]:
        return chr(int(match["code"], 16))
    name = match["long"] or match["short"]
    if name:
        return _NAMED.get(name, "")
    return _CHARS.get(match["char"] or "", "")
