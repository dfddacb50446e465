"""One small checkout, reproduced once for all tests that look at a finished pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clone import Clone, make_clone


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and keep those together that share what takes long to make.

    Under `--dist loadgroup` one process has all tests of `clone`, and each other file's.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            shares = "clone" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("clone" if shares else item.path.stem))


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A checkout in which everything has been made."""
    clone = make_clone(tmp_path_factory.mktemp("pipeline").resolve() / "checkout")
    try:
        status, output = clone.repro()
        assert status == 0, output
        yield replace(clone, provenance=clone.read_provenance())
    finally:
        clone.stop()
    assert clone.processes() == []
