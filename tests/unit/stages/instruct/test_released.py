"""The published filters on the beginning of the released MultiAlpaca; `make test-all`: on all."""

from __future__ import annotations

import itertools

import pytest
import yaml

from benchmarks.multialpaca import DATA, FILES, LEAST_KEPT, RECIPE, read_tasks, replay
from polylm_core.stages.instruct.config import InstructConfig

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the released MultiAlpaca does not lie in ../shared/data"
)


def kept_share(language: str, most: int | None, **changes: float) -> float:
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["instruct"]
    changed = content | {"self_instruct": content["self_instruct"] | changes}
    config = InstructConfig.model_validate(changed).self_instruct
    assert config is not None
    tasks = list(itertools.islice(read_tasks(DATA / FILES[language]), most))
    return len(replay(tasks, language, config).kept) / len(tasks)


@pytest.mark.parametrize("language", FILES)
def test_the_first_released_tasks_pass_the_published_filters(language: str) -> None:
    assert kept_share(language, 1000) >= LEAST_KEPT[language]


@pytest.mark.slow
@pytest.mark.parametrize("language", FILES)
def test_the_released_tasks_pass_the_published_filters(language: str) -> None:
    assert kept_share(language, None) >= LEAST_KEPT[language]


def test_every_spanish_task_is_kept_at_07_and_some_are_not_at_069() -> None:
    assert kept_share("spa_Latn", 1000) == 1.0
    assert kept_share("spa_Latn", 1000, max_similarity=0.69) < 1.0
