"""lm-evaluation-harness, quiet and without a network, on task files of a folder."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval.api.model import LM


def run_tasks(
    lm: LM, folder: Path, tasks: Sequence[str], *, seed: int, chat_template: bool = False
) -> dict[str, Any]:
    """Ask the model all tasks whose files are in the folder; returns the harness's results.

    With `results` of each task, and `samples` with the answers and metrics of each item. `seed`
    draws the examples of prompts that have some.
    """
    # Both libraries read these once, when they are imported: nothing may be asked of the hub.
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    import datasets  # with the harness 3 s, which only the parts that need it should pay
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # The harness draws bars of its own; the stage has one already.
    with contextlib.redirect_stderr(io.StringIO()):
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        loaded: Any = manager.load(list(tasks))
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed)
        results: Any = evaluate(
            lm=lm,
            task_dict=loaded,
            log_samples=True,
            bootstrap_iters=1,
            apply_chat_template=chat_template,
        )
    return dict(results)
