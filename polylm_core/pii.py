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
import phonenumbers

from polylm_core import pii_scan as scan
from polylm_core.characters import Texts, from_strings
from polylm_core.languages import get_language

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


def mask(text: str, regions: Sequence[str] = ()) -> tuple[str, Counter[str]]:
    """The text with placeholders, and how many of each.

    `regions` are the countries (ISO 3166, such as `DE`) whose telephone numbers are known without
    a country code.
    """
    data = text.encode()
    runs = np.empty((scan.MOST_RUNS, 2), np.int64)
    suspected, num_runs = scan.suspect(np.frombuffer(data, np.uint8), *scan.byte_kinds(), runs)
    if not suspected:
        return text, Counter()
    spans: list[Span] = []
    if suspected & scan.HAS_AT:
        spans += _emails(text)
    if suspected & scan.HAS_DOTS:
        spans += _ipv4_addresses(text)
    if suspected & scan.HAS_COLONS:
        spans += _ipv6_addresses(text)
    if suspected & scan.HAS_DIGITS:
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


def masked(texts: Texts, language: str) -> tuple[Texts, Counter[str]]:
    """Texts of one language with placeholders, and how many of each."""
    regions = regions_of(language)
    counts: Counter[str] = Counter()
    changed: dict[int, str] = {}
    for number in scan.suspects(texts.values, texts.offsets).tolist():
        changed[number], found = mask(texts.text(number), regions)
        counts += found
    if not counts:
        return texts, counts
    whole = texts.to_arrow().to_pylist()
    return from_strings([changed.get(n, text) for n, text in enumerate(whole)]), counts


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
        if not scan.LEAST_PHONE_DIGITS <= digits <= scan.MOST_PHONE_DIGITS:
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
