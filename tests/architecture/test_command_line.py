"""Help and completion answer at once: what a command does is imported when it runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer.main

from polylm_core.cli.main import app
from tests.architecture.closure import ROOT

LIGHT = ("polylm_core.cli.main", "polylm_core.cli.commands", "polylm_core.cli.checkout")
LIGHT = (*LIGHT, "polylm_core.cli.output", "polylm_core.errors", "polylm_core.redaction")
PROCESSOR_SECONDS = 0.6
"""Of this process alone, as the clock on the wall also counts what else a machine does: 0.2 on one
that does nothing else, typer's own pydantic and rich in it."""
MEASURED = """
import sys, time
sys.argv[0] = "polylm"
from polylm_core.cli.main import main
try:
    main()
finally:
    loaded = [name for name in sys.modules if name.startswith(("polylm_core.", "yaml", "babel"))]
    print(time.process_time(), *loaded, file=sys.stderr)
"""


def commands() -> list[tuple[str, ...]]:
    """Every command and group, as it is typed."""
    found: list[tuple[str, ...]] = [()]

    def walk(command: object, words: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            found.append((*words, name))
            walk(inner, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def answered(*arguments: str, **variables: str) -> tuple[str, float, list[str]]:
    """What a command prints, its seconds of processor time and the modules that count."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, *loaded = done.stderr.splitlines()[-1].split()
    return done.stdout, float(seconds), loaded


def heavy(loaded: list[str]) -> list[str]:
    parents = ("polylm_core.cli",)
    return [name for name in loaded if not name.startswith(LIGHT) and name not in parents]


def test_there_are_commands_of_two_words_to_look_at() -> None:
    assert {("plan",), ("trace", "step")} <= set(commands())


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_imports_nothing_that_a_command_does(words: tuple[str, ...]) -> None:
    told, seconds, loaded = answered(*words, "--help")
    assert "Usage: polylm" in told
    assert heavy(loaded) == []
    assert seconds < PROCESSOR_SECONDS


def test_what_a_command_does_would_be_noticed() -> None:
    _, _, loaded = answered("params")
    assert "polylm_core.params" in heavy(loaded)


def test_a_shell_completes_commands_recipes_and_profiles() -> None:
    def completed(typed: str) -> list[str]:
        position = str(len(typed.split(" ")) - 1)
        told, seconds, loaded = answered(
            _POLYLM_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=position
        )
        assert heavy(loaded) == []
        assert seconds < PROCESSOR_SECONDS
        return told.split()

    assert completed("polylm pl") == ["plan"]
    assert completed("polylm plan recipes/polylm-13") == ["recipes/polylm-13b.yaml"]
    assert completed("polylm plan --profile lap") == ["laptop", "laptop-unsharded"]
    assert "complete -o" in answered(_POLYLM_COMPLETE="source_bash")[0]
