"""A chat in the terminal: answers as they are made, and what no longer fits."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from polylm_core.chat import CHAT_TEMPLATE
from polylm_core.cli import chat
from polylm_core.errors import MissingArtifactError, PromptTooLongError, TrainingError
from tests.exported import make_export

GREEDY = chat.Decoding(max_new_tokens=8, temperature=0.0, repetition_penalty=1.2)


class Echo:
    """Answers with how many messages it was shown; holds a few words."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.shown: list[list[dict[str, str]]] = []

    def answer(self, messages: list[dict[str, str]]) -> str:
        words = sum(len(message["content"].split()) for message in messages)
        if words > self.room:
            raise PromptTooLongError("the chat", words, self.room)
        self.shown.append(list(messages))
        return f"answer {len(messages)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = make_export(tmp_path_factory.mktemp("model")).folder
    (exported / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return exported


def test_the_model_is_shown_the_whole_chat() -> None:
    model = Echo(room=100)
    conversation = chat.Conversation(model, "Be kind.")
    assert conversation.say("one") == []
    assert conversation.say("two") == []
    roles = [message["role"] for message in model.shown[-1]]
    assert roles == ["system", "user", "assistant", "user"]


def test_the_oldest_question_goes_when_the_chat_is_too_long() -> None:
    model = Echo(room=5)
    conversation = chat.Conversation(model)
    conversation.say("one two")
    assert conversation.say("three four") == ["the oldest 2 messages no longer fit"]
    assert [message["content"] for message in model.shown[-1]] == ["three four"]


def test_a_message_that_never_fits_is_refused_and_forgotten() -> None:
    conversation = chat.Conversation(Echo(room=2))
    with pytest.raises(PromptTooLongError):
        conversation.say("far too many words")
    assert conversation.messages == []


def test_piped_lines_are_answered_one_after_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "open the file\n\n/new\nsave\n" + "word " * 80
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    chat.talk(folder, None, None, GREEDY)
    told = capsys.readouterr()
    assert len(told.out.splitlines()) >= 2
    assert "at most 24 fit" in told.err  # 32 tokens of context, 8 of them to answer with
    assert "you>" not in told.out


def test_what_is_printed_is_what_the_model_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = chat.FolderModel(folder, None, GREEDY)
    said = model.answer([{"role": "user", "content": "save"}])
    assert capsys.readouterr().out.strip() == said


def test_another_folder_or_adapter_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="holds no model"):
        chat.talk(tmp_path, None, None, GREEDY)
    with pytest.raises(TrainingError, match="no adapter 'german'; it has none at all"):
        chat.talk(folder, "german", None, GREEDY)


def test_a_base_model_has_no_chat(tmp_path: Path) -> None:
    base = make_export(tmp_path).folder
    with pytest.raises(TrainingError, match="has no chat template; name a chat model"):
        chat.talk(base, None, None, GREEDY)


def test_a_system_message_that_the_template_drops_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    silent = (
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] }}"
    )
    (copy / "chat_template.jinja").write_text(silent + "{% endif %}{% endfor %}", encoding="utf-8")
    with pytest.raises(TrainingError, match="leaves a system message out"):
        chat.talk(copy, None, "Be kind.", GREEDY)
