"""Two checkouts at different paths, nothing shared, every stage executed: the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.pipeline import STAGES
from tests.clone import Clone, executed, make_clone

pytestmark = [pytest.mark.timeout(1500), pytest.mark.slow]
ELSEWHERE = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "5"}
ONE_WORKER = "map_workers: 1\n"


def test_another_path_time_zone_and_locale_give_the_same_artifacts(
    clone: Clone, tmp_path: Path
) -> None:
    other = make_clone(tmp_path.resolve() / "quite/another/place")
    try:
        status, output = other.repro(**ELSEWHERE)
        assert status == 0, output
        assert executed(output) == list(STAGES)
        assert other.artifacts() == clone.artifacts()
    finally:
        other.stop()


def test_one_worker_gives_the_same_data_as_two(clone: Clone, tmp_path: Path) -> None:
    other = make_clone(tmp_path.resolve() / "narrow")
    (other.path / "infra/profiles/narrow.yaml").write_text(ONE_WORKER, encoding="utf-8")
    try:
        status, output = other.repro("mix", POLYLM_PROFILE="narrow")
        assert status == 0, output
        made = other.artifacts()
        assert {name.split("/")[1] for name in made} >= {"01_documents", "05_mixture"}
        assert made == {name: sha for name, sha in clone.artifacts().items() if name in made}
    finally:
        other.stop()
