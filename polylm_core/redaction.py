"""Secrets kept out of whatever is written down: one place that knows what looks like one.

Hidden are the values of the environment's secrets and of the credential files of DVC, AWS and the
Hugging Face hub, what `remember` was told, and everything of a known form: passwords in addresses,
keys of known services, `Authorization` headers, `password=...`. The seams that call it: the text of
every error of ours, every log record and all that a flow prints, and what a flow gives to Prefect,
to `provenance.json` and to a run's events.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

HIDDEN = "[hidden]"
SHORTEST = 8
"""Characters of a secret at least: shorter values stand in every second text."""
_NAME = re.compile(
    r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|AUTH_STRING)$", re.I
)
_ASSIGNED = re.compile(r"^\s*([\w-]+)\s*=\s*(\S+)\s*$")
_HIDDEN_ONES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(://)[^\s/@:'\"]*:[^\s/@'\"]+@", rf"\1{HIDDEN}@"),
        (r"(?i)(https?://)[^\s/@'\"]+@", rf"\1{HIDDEN}@"),
        (
            r"(?i)([?&](?:x-amz-)?(?:api[_-]?key|key|(?:access|security|auth)?[_-]?token|secret|"
            r"password|sig|signature|credential)=)[^\s&'\"]+",
            rf"\1{HIDDEN}",
        ),
        (r"(?i)(Authorization[\"']?\s*[:=]\s*[\"']?\w+\s+)[^\s\"',]+", rf"\1{HIDDEN}"),
        (r"\b(Bearer|Basic)(\s+)(?=\S*[\d=])[A-Za-z0-9._~+/=-]{8,}", rf"\1\2{HIDDEN}"),
        (
            r"(?i)((?:\b|_)(?:secret|password|passwd|passphrase|api[_-]?key|access[_-]?key(?:[_-]"
            r"id)?|auth[_-]?token|auth[_-]?string)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]{4,}",
            rf"\1{HIDDEN}",
        ),
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", HIDDEN),
        (r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}", HIDDEN),
        (r"\b(?:hf|pnu|pnb|gh[pousr]|glpat|xox[abprs])[_-][A-Za-z0-9_-]{16,}", HIDDEN),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", HIDDEN),
    )
)
_remembered: set[str] = set()


def remember(secret: str) -> None:
    """Hide a secret from now on that neither its name nor its form gives away."""
    if len(secret) >= SHORTEST:
        _remembered.add(secret)


def redacted(text: str) -> str:
    """Return a text without its secrets."""
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _without_forms(text)


def redacted_tree(value: Any) -> Any:
    """Return what JSON can hold with every text in it redacted; keys stay as they are."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: redacted_tree(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_tree(each) for each in value]
    return value


def places_with_credentials(content: Any, place: str = "") -> Iterator[str]:
    """Yield the dotted paths of texts that hold a secret in a form of its own."""
    if isinstance(content, str) and _without_forms(content) != content:
        yield place or "(top level)"
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from places_with_credentials(value, f"{place}.{key}".lstrip("."))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from places_with_credentials(value, f"{place}.{index}".lstrip("."))


def _without_forms(text: str) -> str:
    for pattern, replacement in _HIDDEN_ONES:
        text = pattern.sub(replacement, text)
    return text


def _known() -> set[str]:
    named = {value for name, value in os.environ.items() if _NAME.search(name)}
    parts = {part for value in named for part in value.split(":", 1)}  # user:password
    found = _remembered | _in_files() | named | parts
    return {value for value in found if len(value.strip()) >= SHORTEST}


@functools.cache
def _in_files() -> frozenset[str]:
    """Secrets in the files where libraries find them."""
    home = Path.home()
    hub = Path(os.environ.get("HF_HOME", home / ".cache/huggingface")) / "token"
    ray = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", home / ".ray/auth_token"))
    aws = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / ".aws/credentials"))
    found = {_text_of(file).strip() for file in (hub, ray)}
    for file in (aws, Path(".dvc/config.local"), home / ".config/dvc/config"):
        for line in _text_of(file).splitlines():
            assigned = _ASSIGNED.match(line)
            if assigned and _NAME.search(assigned[1]):
                found.add(assigned[2].strip("'\""))
    return frozenset(found)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class _Redacting:
    """A text stream that passes on everything but secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redacting(stream: TextIO) -> TextIO:
    """Return a stream that writes to this one, without secrets."""
    wrapped: Any = stream if isinstance(stream, _Redacting) else _Redacting(stream)
    whole: TextIO = wrapped
    return whole


def hide_from_output() -> None:
    """Hide secrets in all that this process prints and logs from now on."""
    sys.stdout, sys.stderr = redacting(sys.stdout), redacting(sys.stderr)
    redact_logs()


@contextmanager
def hidden_in_errors() -> Iterator[None]:
    """Let errors of the block out without secrets: Ray writes them, and cuts them, by itself.

    An error that has none, with what it was raised from, goes on as it is. One that has some of its
    own, in its text, its notes or the errors it groups, becomes a RuntimeError with what is left.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if not _tells(traceback.format_exception(error)):
            raise
        own = traceback.format_exception(type(error), error, None, chain=False)
        if not _tells(own):
            raise error from None
        hidden = RuntimeError(redacted("".join(own).strip()))
        raise hidden.with_traceback(error.__traceback__) from None


def _tells(lines: list[str]) -> bool:
    text = "".join(lines)
    return redacted(text) != text


def redact_logs() -> None:
    """Hide secrets in every log record of this process, with its arguments and its traceback.

    At the record's birth: Prefect's, Ray's and other libraries' handlers get it so.
    """
    plain = logging.getLogRecordFactory()
    if getattr(plain, "redacts", False):
        return

    def record_of(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = plain(*arguments, **named)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # logging tells of it when it is written
            return record
        record.msg, record.args = redacted(message), None
        if record.exc_info and record.exc_info[0] is not None:
            lines = traceback.format_exception(*record.exc_info)
            record.exc_text, record.exc_info = redacted("".join(lines)).rstrip("\n"), None
        return record

    record_of.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record_of)
