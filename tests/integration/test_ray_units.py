"""Units of work as tasks of a private Ray: the same behaviour as processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.compute.on_ray import RayBackend
from polylm_core.compute.private_ray import private_ray_folder
from polylm_core.errors import MachineError, SourceError
from tests.unit.compute.test_local import die, slow_square

pytestmark = pytest.mark.timeout(180)
BACKEND = RayBackend(
    address=None, training_workers=1, threads_per_worker=1, use_gpu=False, private_cpus=2
)


@pytest.fixture(autouse=True)
def _own_ray_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # a private Ray's folder is named after the checkout
    folder = private_ray_folder()
    yield
    shutil.rmtree(folder)


def slow_square_where(number: int) -> tuple[int, str]:
    return slow_square(number), os.getcwd()


def test_results_come_in_the_order_of_the_items_from_where_the_driver_is_and_ray_s_books_are_kept(
    tmp_path: Path,
) -> None:
    run, notes = tmp_path / "runs/curate-1", list[str]()
    backend = RayBackend(
        address=None,
        training_workers=1,
        threads_per_worker=1,
        use_gpu=False,
        private_cpus=2,
        on_wait=notes.append,
        traces=run,
    )
    squares = [(number, str(tmp_path)) for number in (0, 1, 4, 9, 16, 25)]
    assert list(backend.map(slow_square_where, range(6))) == squares
    assert notes == []
    books = run / "cluster/1"
    assert [node["Resources"]["CPU"] for node in json.loads((books / "nodes.json").read_text())]
    timeline = json.loads((books / "timeline.json").read_text())
    assert any("_in_folder" in event["name"] for event in timeline)
    assert list(books.glob("logs/*/raylet*"))


def die_the_first_time(folder: Path) -> int:
    """Leave a mark and die; a unit that finds the mark says which of its tries it is."""
    tries = len(list(folder.iterdir()))
    (folder / str(tries)).touch()
    if tries == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return tries + 1


def fail_and_count(folder: Path) -> None:
    (folder / str(len(list(folder.iterdir())))).touch()
    raise SourceError("line 3 is not UTF-8")


def test_an_error_of_a_unit_is_raised_unchanged_after_one_try(tmp_path: Path) -> None:
    folder = tmp_path / "tries"
    folder.mkdir()
    with pytest.raises(SourceError, match="line 3"):
        list(BACKEND.map(fail_and_count, [folder]))
    assert len(list(folder.iterdir())) == 1


def test_a_unit_whose_worker_was_killed_is_done_again(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    assert list(BACKEND.map(die_the_first_time, folders)) == [2, 2]


@pytest.mark.slow
def test_a_unit_that_is_lost_every_time_is_told_as_such() -> None:
    with pytest.raises(MachineError, match=r"lost 4 times .* finished work is kept"):
        list(BACKEND.map(die, range(2)))
