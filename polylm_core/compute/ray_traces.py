"""What a Ray cluster knows of a run, copied beside the run: a cluster takes its books with it.

`<work>/cluster/<number>/`, one folder for each group of ranks or of units, holds `timeline.json`
(what ran where and when, for chrome://tracing or ui.perfetto.dev), `nodes.json` (the machines, and
why those that died did) and `logs/<machine>/` (the ends of Ray's logs of this run, of the machines
that are still there). Ranks write their own logs and stacks while they live. Environments are in
none of it, and each machine takes the secrets that it knows out of what it sends.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from polylm_core.compute.restarts import last_line
from polylm_core.redaction import redacted

FOLDER = "cluster"
MAX_FOLDERS = 10
"""Groups of which something is kept, the newest ones."""
MAX_TIMELINE_BYTES = 64 << 20
TAIL_BYTES = 1 << 18
"""Of one log."""
MAX_LOGS = 40
"""Of one machine."""
COPY_SECONDS = 15.0
"""How long all of it may take: with the cluster itself gone calls wait for it."""
CANCELLED_SECONDS = 5.0
"""The same when somebody ends the stage, who kills it soon (`flows._repro.END_SECONDS`): in what is
left of that time it gives its claim back and tells Prefect."""
LOGS_SHARE = 0.66
"""Share of that time in which machines may send their logs."""
SECRET_BYTES = 1 << 12
"""Longest secret that is found where the end of a log begins inside it."""
OF_THE_CLUSTER = ("gcs_server*.out", "gcs_server*.err", "monitor*.log", "monitor*.err")
OF_A_MACHINE = ("raylet*.out", "raylet*.err")
# Not `runtime_env_setup*`, which have environments in them.


@contextmanager
def kept(work: Path | None, on_note: Callable[[str], None]) -> Iterator[None]:
    """Copy what there is when the block has ended, well or not; what cannot be had is told.

    Without a folder of a run nothing is copied.
    """
    if work is None:
        yield
        return
    seconds = COPY_SECONDS
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            seconds = CANCELLED_SECONDS
        raise
    finally:
        lacking: list[str] = []
        given_up = threading.Event()
        copied = (work, lacking, seconds, given_up)
        thread = threading.Thread(target=_copy, args=copied, name="traces", daemon=True)
        thread.start()
        thread.join(seconds)
        given_up.set()
        if thread.is_alive():
            lacking.append(f"the cluster did not answer within {seconds:.0f} s")
        if lacking:
            on_note(f"not all that Ray knows of the run could be kept: {'; '.join(lacking)}")


def _copy(work: Path, lacking: list[str], seconds: float, given_up: threading.Event) -> None:
    """Write a new folder; the run itself never fails for it.

    Once given up nothing more is asked: the next cluster may be there already.
    """
    folder = new_folder(work / FOLDER)
    logs = functools.partial(_logs, seconds=seconds * LOGS_SHARE)
    for what, copy in (("machines", _nodes), ("timeline", _timeline), ("logs", logs)):
        if given_up.is_set():
            return
        try:
            if not ray.is_initialized():  # a question would start a Ray of its own
                raise RuntimeError("there is no connection to it")
            copy(folder)
        except Exception as error:  # whatever a dying cluster makes of a question
            lacking.append(f"{what} ({type(error).__name__}: {last_line(error)[:200]})")


def new_folder(parent: Path) -> Path:
    """Make the next numbered folder, and remove the oldest of too many."""
    parent.mkdir(parents=True, exist_ok=True)
    there = sorted(int(path.name) for path in parent.iterdir() if path.name.isdigit())
    for number in there[: -(MAX_FOLDERS - 1)]:
        shutil.rmtree(parent / str(number), ignore_errors=True)
    folder = parent / str(there[-1] + 1 if there else 1)
    folder.mkdir()
    return folder


def _machines() -> list[dict[str, Any]]:
    cluster: Any = ray
    nodes: list[dict[str, Any]] = cluster.nodes()
    return nodes


def _nodes(folder: Path) -> None:
    text = redacted(json.dumps(_machines(), indent=1, default=str))
    (folder / "nodes.json").write_text(text + "\n", encoding="utf-8")


def _timeline(folder: Path) -> None:
    logger = logging.getLogger("ray._private.state")
    logger.disabled = True  # it warns of what a later version will do
    try:
        ray.timeline(str(folder / "timeline.json"))
    finally:
        logger.disabled = False
    if (folder / "timeline.json").stat().st_size > MAX_TIMELINE_BYTES:
        (folder / "timeline.json").unlink()
        raise ValueError(f"it has more than {MAX_TIMELINE_BYTES >> 20} MiB")


def _logs(folder: Path, *, seconds: float) -> None:
    """Ask each machine that is there for the ends of its logs, and write them."""
    job = ray.get_runtime_context().get_job_id()
    here = ray.get_runtime_context().get_node_id()
    task: Any = ray.remote(num_cpus=0, max_retries=0)(tails)
    asked: dict[Any, str] = {}
    for node in _machines():
        if node["Alive"]:
            name: str = node["NodeID"]
            there = NodeAffinitySchedulingStrategy(name, soft=False)
            patterns = [f"worker-*-{job}-*", f"python-core-worker-*-{job}-*", *OF_A_MACHINE]
            patterns += OF_THE_CLUSTER if name == here else []
            asked[task.options(scheduling_strategy=there).remote(patterns)] = name
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
    for reference in ready:
        for name, end in ray.get(reference).items():
            file = folder / "logs" / asked[reference] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(end)
    if late:
        raise TimeoutError(f"{len(late)} of {len(asked)} machines did not send theirs")


def tails(patterns: list[str]) -> dict[str, bytes]:
    """Return the ends of this machine's logs by these patterns, the newest files first."""
    worker: Any = importlib.import_module("ray._private.worker")
    return tails_of(Path(worker._global_node.get_logs_dir_path()), patterns)


def tails_of(folder: Path, patterns: list[str]) -> dict[str, bytes]:
    """Return the ends of the logs of a folder that are not empty, by name, without secrets."""
    files = {
        path for pattern in patterns for path in folder.glob(pattern) if path.stat().st_size > 0
    }
    found = {}
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:MAX_LOGS]:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES - SECRET_BYTES))
            text = file.read().decode(errors="surrogateescape")
        found[path.name] = redacted(text).encode(errors="surrogateescape")[-TAIL_BYTES:]
    return found
