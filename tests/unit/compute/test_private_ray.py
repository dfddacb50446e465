"""The token of private Rays is this user's alone, and so is their folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from polylm_core.compute.private_ray import (
    give_token,
    private_ray_folder,
    require_shut,
    set_up_private,
)
from polylm_core.errors import MachineError


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
        monkeypatch.delenv(name)
    return tmp_path / ".ray/auth_token"


def test_a_token_is_drawn_once_and_nobody_else_reads_it(token: Path) -> None:
    give_token()
    drawn = token.read_text()
    assert len(drawn) == 64
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    give_token()
    assert token.read_text() == drawn


def test_no_server_of_a_private_ray_tells_its_metrics(
    token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = ("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT")
    for name in (*servers, "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"):
        monkeypatch.setenv(name, "44227")
    set_up_private()
    assert [os.environ[name] for name in servers] == ["-1", "-1"], "no port: Ray starts none"
    assert token.is_file()


def test_a_private_ray_that_asks_for_no_token_is_refused(token: Path) -> None:
    give_token()
    assert "RAY_AUTH_MODE" not in os.environ  # Ray would not set itself up for it
    with pytest.raises(MachineError, match=r"lets anybody use a private Ray"):
        require_shut()


def test_a_token_that_others_could_read_is_shut(token: Path) -> None:
    token.parent.mkdir()
    token.write_text("of somebody's own")
    token.chmod(0o644)
    give_token()
    assert token.read_text() == "of somebody's own"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_a_token_of_the_environment_is_taken(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the environment")
    give_token()
    assert not token.exists()


def test_a_private_ray_without_a_token_is_refused(
    token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(MachineError, match="RAY_AUTH_MODE is 'disabled'"):
        give_token()
    assert not token.exists()


def test_a_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = private_ray_folder()
    try:
        folder.parent.chmod(0o777)
        with pytest.raises(MachineError, match="not this user's alone"):
            private_ray_folder()
    finally:
        folder.rmdir()
        folder.parent.rmdir()
