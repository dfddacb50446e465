"""No secret gets into a text, whatever way it takes; what is none stays as it is."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from polylm_core import redaction
from polylm_core.errors import MachineError, ParamsError, Problem, SourceError
from polylm_core.params import load_params
from polylm_core.redaction import (
    hidden_in_errors,
    redact_logs,
    redacted,
    redacted_tree,
    redacting,
)
from polylm_core.settings import load_profile
from tests.clone import ROOT
from tests.planted import OF_A_FORM, PLANTED, environment

assert len(PLANTED) == 20


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    redaction._in_files.cache_clear()


def assert_hidden(text: str) -> None:
    assert not [name for name, secret in PLANTED.items() if secret in text], text


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_secret_is_hidden_in_a_sentence(name: str) -> None:
    said = redacted(f"the server says that {OF_A_FORM.get(name, PLANTED[name])} is not valid")
    assert_hidden(said)
    assert said.startswith("the server says that ")
    assert said.endswith(" is not valid")


@pytest.mark.parametrize(
    "text",
    [
        "hf://organisation/name@4f3a1c",
        "s3://bucket/folder, https://host/a@b?page=3",
        "Basic instructions and bearer bonds; the password is wrong, the token spent",
        "TEACHER_API_KEY, key_variable: OPENAI_API_KEY",
        "task-of-a-very-long-name-indeed 1,234 tokens/s",
        f"sha256 is {'0' * 64}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_trees_are_redacted_to_their_leaves() -> None:
    tree = {"a": [{"b": f"x {PLANTED['OpenAI key']}"}], "n": 3, "t": ("https://u:pw@h/",)}
    assert redacted_tree(tree) == {
        "a": [{"b": "x [hidden]"}],
        "n": 3,
        "t": ["https://[hidden]@h/"],
    }


def test_errors_of_ours_never_show_one() -> None:
    secret = PLANTED["key of the teacher"]
    assert_hidden(str(SourceError(f"the bucket refused {secret}")))
    assert_hidden(
        str(ParamsError("profile.yaml", [Problem("endpoints", "is wrong", {"k": secret})]))
    )


def test_logs_are_redacted_with_arguments_and_tracebacks() -> None:
    before = logging.getLogRecordFactory()
    written = io.StringIO()
    logger = logging.getLogger("redaction of a test")
    handler = logging.StreamHandler(written)
    logger.addHandler(handler)
    try:
        redact_logs()
        redact_logs()
        logger.warning("asked with %s", PLANTED["hub token"])
        try:
            raise KeyError(PLANTED["AWS secret"])
        except KeyError:
            logger.exception("refused")
    finally:
        logging.setLogRecordFactory(before)
        logger.removeHandler(handler)
    said = written.getvalue()
    assert_hidden(said)
    assert "asked with [hidden]" in said
    assert "Traceback" in said
    assert "KeyError: '[hidden]'" in said


def test_what_is_printed_is_redacted() -> None:
    stream = io.StringIO()
    wrapped = redacting(redacting(stream))
    print(f"key {PLANTED['Prefect key']}", file=wrapped, flush=True)
    assert stream.getvalue() == "key [hidden]\n"
    assert wrapped.isatty() == stream.isatty()
    assert redacting(sys.stderr).fileno() == sys.stderr.fileno()


@pytest.mark.parametrize(
    "place",
    [
        {"endpoints": {"mine": {"address": "https://user:pAssw0rd99@teacher.example/v1"}}},
        {"endpoints": {"mine": {"address": "https://teacher.example/v1?api_key=pAssw0rd99"}}},
        {"source_locations": {"crawl": "https://user:pAssw0rd99@mirror.example/crawl"}},
        {"training": {"checkpoints": {"storage": "s3://key:pAssw0rd99@bucket/folder"}}},
        {"ray_address": "ray://user:pAssw0rd99@head:10001"},
    ],
)
def test_a_profile_with_credentials_is_refused_without_showing_them(
    tmp_path: Path, place: dict[str, object]
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(place))
    with pytest.raises(ParamsError, match=r"credentials") as refused:
        load_profile(tmp_path, "mine")
    assert "pAssw0rd99" not in str(refused.value)
    assert str(next(iter(place))) in str(refused.value)


def test_a_recipe_with_credentials_is_refused_without_showing_them(tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    address = "https://me:pAssw0rd99@host/tokenizer.model"
    recipe["vocab"] = {"imported": {"uri": address, "sha256": "0" * 64}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"vocab\.imported\.uri: holds credentials") as refused:
        load_params(tmp_path / "params.yaml")
    assert "pAssw0rd99" not in str(refused.value)


def test_every_secret_has_been_where_it_can_leak(tmp_path: Path) -> None:
    """What is planted nowhere is found nowhere."""
    variables = environment(tmp_path)
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    everything = "\n".join([*variables.values(), *files])
    assert [name for name, secret in PLANTED.items() if secret not in everything] == []


def show_all() -> None:
    raise KeyError(dict(os.environ))


def test_an_error_leaves_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Train cuts what a rank raised before anything else sees it."""
    monkeypatch.setenv("TEACHER_API_KEY", "pAssw0rd99")
    with pytest.raises(RuntimeError, match=r"^KeyError: .*\[hidden\]") as told, hidden_in_errors():
        show_all()
    shown = "".join(traceback.format_exception(told.value))
    assert "pAssw0rd99" not in shown
    assert "in show_all" in shown, "where it was raised is told"


def note() -> None:
    error = ValueError("no answer")
    error.add_note(os.environ["TEACHER_API_KEY"])
    raise error


def gather() -> None:
    raise ExceptionGroup("several", [ValueError(os.environ["TEACHER_API_KEY"])])


def leave() -> None:
    raise SystemExit(os.environ["TEACHER_API_KEY"])


@pytest.mark.parametrize("end", [note, gather, leave])
def test_what_belongs_to_an_error_leaves_without_secrets_too(
    end: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_API_KEY", "pAssw0rd99")
    with pytest.raises(RuntimeError, match=r"\[hidden\]") as told, hidden_in_errors():
        end()
    assert "pAssw0rd99" not in "".join(traceback.format_exception(told.value))


def ask_in_vain() -> None:
    try:
        raise KeyError(os.environ["TEACHER_API_KEY"])
    except KeyError as error:
        raise MachineError("no answer") from error


def test_an_error_keeps_its_class_where_only_its_cause_has_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEACHER_API_KEY", "pAssw0rd99")
    with pytest.raises(MachineError, match="no answer") as told, hidden_in_errors():
        ask_in_vain()
    assert "pAssw0rd99" not in "".join(traceback.format_exception(told.value))


def test_an_error_without_secrets_is_that_error() -> None:
    wrong = ValueError("a sequence of 3")
    with pytest.raises(ValueError, match="of 3") as told, hidden_in_errors():
        raise wrong
    assert told.value is wrong
