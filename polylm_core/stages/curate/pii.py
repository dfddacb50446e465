"""Personal data in a text masked: e-mail addresses, public IP addresses, telephone numbers.

Placeholders are StarCoder's (Li et al. 2023, arXiv 2305.06161 §4); only public IP addresses count,
as in FineWeb (datatrove's PIIFormatter), because a private one is nobody's. Telephone numbers are
judged by `phonenumbers`, Google's libphonenumber, in digits of any script; a candidate has to be a
valid number: with its country code anywhere, without one in the countries of the text's language.
A compiled scan goes first, so that a text with nothing to judge costs next to nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import babel.core
import numpy as np
import numpy.typing as npt
import phonenumbers

from polylm_core.characters import Offsets
from polylm_core.kernels import inlined, kernel
from polylm_core.languages import get_language
from polylm_core.ngram_model import kernels
from polylm_core.ngram_model.folding import folding
from polylm_core.ngram_model.probing import Bytes, Int, Numbers, Words

EMAIL, IP_ADDRESS, PHONE_NUMBER = "<EMAIL>", "<IP_ADDRESS>", "<PHONE_NUMBER>"

Span = tuple[int, int, str]

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-](?:\.?[A-Za-z0-9!#$%&'*+/=?^_`{|}~-])*\Z")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![A-Za-z0-9])"
)
_MAX_LOCAL_CHARACTERS = 64  # RFC 5321 §4.5.3.1.1

_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\w)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
_ALLOCATED_IPV6 = ipaddress.ip_network("2000::/3")
_LEAST_LARGEST_OCTET = 32
"""An address of smaller numbers only is a version or a section; 1 public address in 4,000 is so."""

_PHONE = re.compile(r"(?<![\w+.,/#-])(?:\(?\+ ?)?\(?\d[\d ().-]{5,22}\d(?![\w%]|[.,:]\d)", re.ASCII)
_DATE = re.compile(r"\d{1,2}([.-])\d{1,2}\1\d{4}\b|\d{4}([.-])\d{1,2}\2\d{1,2}\b", re.ASCII)
_CONTEXT_CHARACTERS = 4
"""Looked at before and after the digits of a number: +, brackets, or what rules it out."""
_DECIMAL = re.compile(r"\d+\.\d+\Z", re.ASCII)
_LEAST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 7, 15  # ITU-T E.164: at most 15


def mask(text: str, regions: Sequence[str] = ()) -> tuple[str, Counter[str]]:
    """The text with placeholders, and how many of each.

    `regions` are the countries (ISO 3166, such as `DE`) whose telephone numbers are known without
    a country code.
    """
    data = text.encode()
    runs = np.empty((_MOST_RUNS, 2), np.int64)
    suspected, num_runs = _suspect(np.frombuffer(data, np.uint8), *_byte_kinds(), runs)
    if not suspected:
        return text, Counter()
    spans: list[Span] = []
    if suspected & _HAS_AT:
        spans += _emails(text)
    if suspected & _HAS_DOTS:
        spans += _ipv4_addresses(text)
    if suspected & _HAS_COLONS:
        spans += _ipv6_addresses(text)
    if suspected & _HAS_DIGITS:
        for start, end in _in_characters(data, runs[:num_runs].tolist()):
            spans += _phone_numbers(text, start, end, regions)
    parts: list[str] = []
    found: Counter[str] = Counter()
    done = 0
    for start, end, placeholder in sorted(spans):
        if start < done:
            continue
        parts += (text[done:start], placeholder)
        found[placeholder] += 1
        done = end
    return "".join([*parts, text[done:]]), found


def suspects(data: Bytes, offsets: Offsets) -> npt.NDArray[np.int64]:
    """Numbers of the texts that may hold something to mask, of texts in one buffer."""
    return np.flatnonzero(_suspects(data, offsets, *_byte_kinds()))


@functools.cache
def regions_of(language: str) -> tuple[str, ...]:
    """The country where most speakers of a language are, by CLDR; none where it names none."""
    subtags = babel.core.get_global("likely_subtags")
    base, _, script = get_language(language).bcp47.partition("-")
    for tag in (f"{base}_{script}".rstrip("_"), base):
        _, likely_script, region = f"{subtags.get(tag, '')}__".split("_")[:3]
        if re.fullmatch("[A-Z]{2}", region) and script in ("", likely_script):
            return (region,)
    return ()


def _emails(text: str) -> Iterator[Span]:
    for sign in re.finditer("[@＠]", text):
        at = sign.start()
        local = _LOCAL.search(text, max(0, at - _MAX_LOCAL_CHARACTERS), at)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            yield local.start(), domain.end(), EMAIL


def _ipv4_addresses(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        octets = [int(octet) for octet in match[0].split(".")]
        if not _LEAST_LARGEST_OCTET <= max(octets) <= 255 or octets[0] == 0:
            continue
        if ipaddress.IPv4Address(bytes(octets)).is_global:
            yield match.start(), match.end(), IP_ADDRESS


def _ipv6_addresses(text: str) -> Iterator[Span]:
    for match in _IPV6.finditer(text):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if address.is_global and address in _ALLOCATED_IPV6:
            yield match.start(), match.end(), IP_ADDRESS


def _phone_numbers(text: str, first: int, end: int, regions: Sequence[str]) -> Iterator[Span]:
    """The numbers among characters first to end - 1, which begin and end with a digit."""
    first = max(0, first - _CONTEXT_CHARACTERS)
    # One character for one, so that positions hold.
    plain = text[first : end + _CONTEXT_CHARACTERS]
    plain = plain if plain.isascii() else plain.translate(_plain_characters())
    for match in _PHONE.finditer(plain):
        start = match.start() + match[0].startswith("(+")
        candidate = match[0][start - match.start() :].rstrip(" .-(")
        digits = sum(map(str.isdigit, candidate))
        if not _LEAST_PHONE_DIGITS <= digits <= _MOST_PHONE_DIGITS:
            continue
        if _DATE.match(candidate) or _DECIMAL.match(candidate):
            continue
        if _is_international(candidate) or any(_is_national(candidate, each) for each in regions):
            yield first + start, first + start + len(candidate), PHONE_NUMBER


def _in_characters(data: bytes, runs: list[list[int]]) -> Iterator[tuple[int, int]]:
    """Byte offsets as character offsets."""
    done, characters = 0, 0
    for start, end in runs:
        first = characters + len(data[done:start].decode())
        characters, done = first + len(data[start:end].decode()), end
        yield first, characters


def _is_international(candidate: str) -> bool:
    if candidate.startswith("00"):
        candidate = f"+{candidate[2:]}"
    if not candidate.startswith("+"):
        return False
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(candidate, None)))
    except phonenumbers.NumberParseException:
        return False


def _is_national(candidate: str, region: str) -> bool:
    """Whether it is written as numbers of the country are, in its groups of digits."""
    groups = re.split(r"[ ().-]+", candidate.strip("() "))
    trunk = phonenumbers.country_code_for_region(region) == 1 or candidate.lstrip("(")[0] == "0"
    if len(groups) < 2 or not trunk or candidate.startswith("+"):
        return False
    leniency = phonenumbers.Leniency.STRICT_GROUPING
    found = list(phonenumbers.PhoneNumberMatcher(candidate, region, leniency=leniency))
    return len(found) == 1 and len(found[0].raw_string) >= len(candidate.strip("() "))


@functools.cache
def _plain_characters() -> dict[int, str]:
    """Digits of all scripts as ASCII digits, dashes as hyphens, spaces as blanks."""
    plain = {}
    for point in range(0x80, sys.maxunicode + 1):
        character = chr(point)
        category = unicodedata.category(character)
        if category == "Nd":
            plain[point] = str(unicodedata.digit(character))
        elif category in ("Pd", "Zs"):
            plain[point] = "-" if category == "Pd" else " "
    full_width = {0xFF0B: "+", 0xFF08: "(", 0xFF09: ")", 0xFF0E: "."}
    return {**plain, **full_width}


_HAS_AT, _HAS_DOTS, _HAS_COLONS, _HAS_DIGITS = 1, 2, 4, 8

_OTHER, _DIGIT, _AT, _COLON, _LEAD = range(5)
"""What a byte can begin: `_LEAD` is the first one of characters that may be digits or an @."""

_MOST_GAP_BYTES = 6
"""More separators between two digits end a number."""

_MOST_RUNS = 256
"""Runs of digits that are told apart in a text; the last one holds all that follow."""


@functools.cache
def _byte_kinds() -> tuple[Bytes, Words]:
    kinds = np.zeros(256, np.uint8)
    kinds[ord("0") : ord("9") + 1] = _DIGIT
    kinds[ord("@")], kinds[ord(":")] = _AT, _COLON
    folded = folding().folded
    for point in (*np.flatnonzero(folded == ord("0")).tolist(), ord("＠")):
        if point >= 0x80:
            kinds[chr(point).encode()[0]] = _LEAD
    return kinds, folded


@kernel
def _suspect(data: Bytes, kinds: Bytes, folded: Words, runs: Numbers) -> tuple[Int, Int]:
    """What a text might hold: an @, digits with three dots, hexadecimals with colons, 7 digits.

    Returned with the number of runs of 7 digits, whose first and last bytes + 1 go into `runs`.
    """
    found, at, end, num_runs, first_digit = 0, 0, len(data), 0, 0
    digits, dots, colons, after_digit, after_colon = 0, 0, 0, 0, 0
    while at < end:
        start, at = at, at + 1
        kind: Int = kinds[data[start]]
        if kind == _OTHER:
            continue
        if kind == _LEAD:
            point, at = kernels.decode(data, start)
            if point < len(folded) and folded[point] == 48:
                kind = _DIGIT
            elif point == 0xFF20:
                kind = _AT
        if kind == _AT:
            found |= _HAS_AT
        elif kind == _COLON:
            colons = colons + 1 if _is_hexadecimal(data, after_colon, start) else 1
            after_colon = at
            if colons >= 2:
                found |= _HAS_COLONS
        elif kind == _DIGIT:
            gap = _dots_between(data, after_digit, start)
            if gap < 0:
                digits, dots, gap = 0, 0, 0
            if digits == 0:
                first_digit = start
            digits, dots, after_digit = digits + 1, dots + gap, at
            if digits >= _LEAST_PHONE_DIGITS:
                if digits == _LEAST_PHONE_DIGITS and num_runs < len(runs):
                    runs[num_runs, 0] = first_digit
                    num_runs += 1
                found, runs[num_runs - 1, 1] = found | _HAS_DIGITS, at
            if dots >= 3:
                found |= _HAS_DOTS
    return found, num_runs


@kernel
def _suspects(data: Bytes, offsets: Offsets, kinds: Bytes, folded: Words) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(offsets) - 1, np.bool_)
    runs = np.empty((_MOST_RUNS, 2), np.int64)
    for text in range(len(found)):
        suspected, _ = _suspect(data[offsets[text] : offsets[text + 1]], kinds, folded, runs)
        found[text] = suspected != 0
    return found


@inlined
def _dots_between(data: Bytes, start: Int, end: Int) -> Int:
    """Full stops in a gap between digits; -1 if it holds more than separators."""
    if end - start > _MOST_GAP_BYTES:
        return -1
    dots = 0
    for at in range(start, end):
        byte = data[at]
        if byte == 46:
            dots += 1
        elif byte < 0x80 and byte not in (32, 40, 41, 45):
            return -1
    return dots


@inlined
def _is_hexadecimal(data: Bytes, start: Int, end: Int) -> bool:
    if end - start > 4:
        return False
    for at in range(start, end):
        byte = data[at] | 32
        if not (97 <= byte <= 102 or 48 <= byte <= 57):
            return False
    return True
