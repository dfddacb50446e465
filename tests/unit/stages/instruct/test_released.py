"""The published filters on the beginning of the released MultiAlpaca; `make test-all`: on all."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
import yaml

from benchmarks.multialpaca import DATA, FILES, LEAST_KEPT, RECIPE, read_tasks, replay
from polylm_core.stages.instruct.answers import NO_INPUT, Task, parse_answer
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


def written(tasks: list[Task], *, with_numbers: bool) -> str:
    lines = []
    for number, task in enumerate(tasks, start=4):
        begin = f"{number}. " if with_numbers else ""
        parts = (task.instruction, task.input or NO_INPUT, task.output)
        labels = ("Instruction", "Input", "Output")
        lines += [f"{begin}{label}: {part}\n" for label, part in zip(labels, parts, strict=True)]
    return "".join(lines)


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("with_numbers", [True, False])
def test_the_released_tasks_are_read_from_an_answer_whole_or_not_at_all(
    language: str, with_numbers: bool
) -> None:
    tasks = [
        task for task in read_tasks(DATA / FILES[language]) if task.instruction and task.output
    ]
    num_read = 0
    for first in range(0, len(tasks), 17):
        asked = tasks[first : first + 17]
        read, _ = parse_answer(
            written(asked, with_numbers=with_numbers),
            is_complete=True,
            ends_at_blank_line=False,
            language=language,
        )
        ends = {(as_read(task.instruction), as_read(task.output)) for task in asked}
        assert all((task.instruction, task.output) in ends for task in read)
        num_read += len(read)
    assert num_read >= 0.997 * len(tasks)


def as_read(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


@pytest.mark.slow
@pytest.mark.parametrize("language", FILES)
def test_the_released_tasks_pass_the_published_filters(language: str) -> None:
    assert kept_share(language, None) >= LEAST_KEPT[language]


def test_every_spanish_task_is_kept_at_07_and_some_are_not_at_069() -> None:
    assert kept_share("spa_Latn", 1000) == 1.0
    assert kept_share("spa_Latn", 1000, max_similarity=0.69) < 1.0
