"""Where a checkout's private Rays keep their files, and the token they ask for."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from polylm_core.errors import MachineError
from polylm_core.storage import replacing


def private_ray_folder() -> Path:
    """Return this checkout's folder for private Rays; raises MachineError for another user's.

    It lies in /tmp whatever TMPDIR says: a socket's path may have 107 characters, and Ray adds 64.
    """
    checkout = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:8]
    folder = Path("/tmp") / f"polylm-ray-{os.getuid()}-{checkout}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise MachineError(f"{folder} is not this user's alone; remove it, it is made anew")
    return folder


def give_token(folder: Path) -> None:
    """Have the private Rays of this process ask for a token, which this user alone can read.

    They listen on the machine's own address, whatever they are told. The token that Ray would make
    by itself (`~/.ray/auth_token`) can be read by everybody on the machine.

    That they ask is Ray's default from 2.60 on. Raises MachineError where the environment asks for
    one without a token.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode.lower() != "token":
        raise MachineError(f"RAY_AUTH_MODE is {mode!r}, so that anybody could use the private Ray")
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        file = folder / "token"
        if not file.is_file():
            with replacing(file) as partial:
                partial.touch(mode=0o600)
                partial.write_text(secrets.token_hex(32), encoding="utf-8")
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(file)
