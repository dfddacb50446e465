"""The parent flow itself; imported only after the server's settings are in place.

It is what `infra/prefect/prefect.yaml` deploys: a worker stands in the checkout and runs it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from flows import _links
from flows._checkout import take_recipe, take_revision
from flows._export import exporting_to
from flows._profile import PROFILES
from flows._repro import ENDING, push_results, reproduce
from polylm_core.errors import InfrastructureError, LockedError
from polylm_core.pipeline import RUNS
from polylm_core.redaction import redact_logs
from polylm_core.settings import load_profile
from polylm_core.storage import exclusive_lock

RETRY_SECONDS = [30.0, 120.0, 480.0]
"""Waits before further tries, each longer by up to half of it: a machine, a store or a cluster
takes minutes to come back."""
LOCK_WAIT_SECONDS = 60.0
export: list[Any] = [exporting_to(RUNS / "pipeline" / "prefect.jsonl")]


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a failed try was the infrastructure's fault; what a stage refuses, it refuses again.

    The arguments are those of Prefect's `retry_condition_fn`.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, InfrastructureError | LockedError)


@task(
    name="dvc-repro",
    task_run_name="dvc repro",
    retry_delay_seconds=RETRY_SECONDS,
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    persist_result=False,
    cache_policy=NO_CACHE,
)
def repro(target: str | None, tag: str, profile: str | None, push: bool) -> None:
    """Run `dvc repro` to its end, and `dvc push` after it if told so."""
    tell = get_run_logger().info
    what = f"the pipeline of {Path.cwd()}"
    lock = exclusive_lock(RUNS / "pipeline.lock", what=what, wait_seconds=LOCK_WAIT_SECONDS)
    with lock:
        reproduce(target, tag, profile=profile, tell=tell)
        if push:
            push_results(tell=tell)


@flow(
    name="pipeline",
    retries=0,
    persist_result=False,
    on_completion=export,
    on_failure=export,
    on_crashed=export,
    on_cancellation=export,
)
def pipeline(
    target: str | None = None,
    recipe: str | None = None,
    profile: str | None = None,
    revision: str | None = None,
    push: bool = False,
    retries: int = 0,
) -> None:
    """Reproduce the whole pipeline, or the stages up to `target`.

    Args:
        target: Stage to end with; all of them by default.
        recipe: Recipe to use, by its name in recipes/ or its file; by default params.yaml.
        profile: Profile to run with, by its name in infra/profiles/; by default POLYLM_PROFILE.
        revision: Branch, tag or commit to check out first; by default what is checked out.
        push: Send the results to DVC's default remote afterwards.
        retries: Further tries after a fault of the infrastructure, with growing waits.
    """
    redact_logs()
    try:
        _take(recipe, revision)
        # Also of stages that turn out to be up to date: a mistake would wait for the next run.
        chosen = load_profile(PROFILES, profile)
        tag = _tag()
        with suppress(Exception):  # links are a convenience: a server that is gone ends no work
            _links.publish(tag, chosen)
        tries = repro.with_options(retries=min(retries, len(RETRY_SECONDS)))
        tries(target, tag, profile, push)
    except BaseException as error:
        ENDING.error = error
        raise
    finally:
        ENDING.when_ended()


def _take(recipe: str | None, revision: str | None) -> None:
    tell = get_run_logger().info
    if revision is not None:
        take_revision(Path(), revision, tell)
    if recipe is not None:
        take_recipe(Path(), recipe, tell)


def _tag() -> str:
    """What the stages' own flow runs are found by."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return f"repro-{run.name}" if run is not None else "repro"
