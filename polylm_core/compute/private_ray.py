"""Where a checkout's private Rays keep their files, how they are set, and their token."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from polylm_core.errors import MachineError
from polylm_core.storage import replacing

ENVIRONMENT = {
    "AUTOSCALER_METRIC_PORT": "-1",
    "DASHBOARD_METRIC_PORT": "-1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
"""Environment of a private Ray, whose head would serve metrics to whoever asks, without a token:
on a port that is none the servers do not start, which Ray takes (`monitor.py`, `head.py`). And no
cloud takes this machine away: what would watch for it competes with the ranks' start."""
SYSTEM_CONFIG = {"enable_metrics_collection": False, "prestart_worker_first_driver": False}
"""Metrics would be served to whoever asks, without a token; workers that are started before one
is needed are not those of our environment, and end unused."""


def private_ray_folder() -> Path:
    """Return this checkout's folder for private Rays; raises MachineError for another user's.

    It lies in /tmp whatever TMPDIR says: a socket's path may have 107 characters, and Ray adds 64.
    Ray opens the folder it is given to everybody, so it gets one in this, which stays shut.
    """
    checkout = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:8]
    folder = Path("/tmp") / f"polylm-ray-{os.getuid()}-{checkout}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise MachineError(f"{folder} is not this user's alone; remove it, it is made anew")
    inner = folder / "r"
    inner.mkdir(exist_ok=True)
    return inner


def set_up_private() -> None:
    """Set what private Rays of this process take from the environment; they let this user in alone.

    Raises MachineError where the environment asks for a Ray without a token.
    """
    os.environ.update(ENVIRONMENT)
    give_token()


def give_token() -> None:
    """See that the token, which the private Rays of this user ask for, is for this user to read.

    They listen on the machine's own address, whatever they are told, and ask for a token by
    themselves from Ray 2.60 on; told so in the environment, this process would not hear of it.
    What Ray would write to `~/.ray/auth_token`, everybody could read.

    Raises MachineError where the environment asks for a Ray without a token.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode.lower() != "token":
        raise MachineError(f"RAY_AUTH_MODE is {mode!r}, so that anybody could use the private Ray")
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    file = Path.home() / ".ray/auth_token"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        with replacing(file) as partial:
            partial.touch(mode=0o600)
            partial.write_text(secrets.token_hex(32), encoding="utf-8")
    elif file.stat().st_mode & 0o077:
        file.chmod(0o600)


def require_shut() -> None:
    """Raise MachineError where the private Ray that has just been started asks for no token."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":  # Ray says here what it does
        raise MachineError("this version of Ray lets anybody use a private Ray; install ray 2.60")
