"""What a file of infra/ leaves open is filled in from the environment, or nothing is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import fill
from polylm_core.errors import MachineError


def test_only_capitals_in_braces_are_filled_in() -> None:
    text = "image: ${IMAGE}\nrun: ray start --address=$RAY_HEAD_IP:6379 ${IMAGE} {{ flow.name }}\n"
    assert fill.places(text) == ["IMAGE"]
    assert fill.filled(text, {"IMAGE": "a:1"}) == (
        "image: a:1\nrun: ray start --address=$RAY_HEAD_IP:6379 a:1 {{ flow.name }}\n"
    )


def test_every_absent_value_is_named_at_once() -> None:
    with pytest.raises(MachineError, match="without a value: B, C; export each of them first"):
        fill.filled("${A} ${B} ${C} ${B}", {"A": "1", "C": ""})


@pytest.mark.parametrize("value", ['a"\n    Action: "*', "a'b", "a\nb"])
def test_a_value_that_would_be_more_than_a_value_is_refused(value: str) -> None:
    with pytest.raises(MachineError, match="NAME: the value has a line break or a quotation mark"):
        fill.filled("x: ${NAME}", {"NAME": value})


def test_the_command_prints_the_file_or_one_line_of_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("a: ${POLYLM_PLACE}\n", encoding="utf-8")
    monkeypatch.delenv("POLYLM_PLACE", raising=False)
    assert fill.main([str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("POLYLM_PLACE", "here")
    assert fill.main([str(file)]) == 0
    assert capsys.readouterr().out == "a: here\n"
    assert fill.main([]) == fill.main([str(tmp_path / "absent")]) == 2
