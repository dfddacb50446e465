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
from flows._checkout import PARAMS, nobody_at_work, require_valid, take_recipe, take_revision
from flows._export import exporting_to
from flows._leftover import end_stages, tag_of
from flows._profile import PROFILES
from flows._repro import ENDING, one_pipeline, push_results, reproduce, require_remote
from polylm_core.errors import InfrastructureError, LockedError
from polylm_core.pipeline import RUNS
from polylm_core.redaction import redact_logs
from polylm_core.settings import load_profile

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
    reproduce(target, tag, profile=profile, tell=tell)
    if push:
        push_results(tell=tell)


@flow(
    name="pipeline",
    retries=0,
    persist_result=False,
    on_completion=export,
    on_failure=[end_stages, *export],
    on_crashed=[end_stages, *export],
    on_cancellation=[end_stages, *export],
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
        retries: Further tries after a fault of the infrastructure, with growing waits; another run
            in the checkout is waited for as long.
    """
    redact_logs()
    try:
        further = RETRY_SECONDS[:retries]
        with one_pipeline(wait_seconds=LOCK_WAIT_SECONDS + sum(further)):
            _take(recipe, revision, profile)
            if push:
                require_remote()
            tag = _tag()
            # Links are a convenience: neither a server that is gone nor a profile that only the
            # checked out revision understands ends any work.
            with suppress(Exception):
                _links.publish(tag, load_profile(PROFILES, profile))
            repro.with_options(retries=len(further))(target, tag, profile, push)
    except BaseException as error:
        ENDING.error = error
        raise
    finally:
        ENDING.when_ended()


def _take(recipe: str | None, revision: str | None, profile: str | None) -> None:
    """Put in place what is asked for, and check it with its own code."""
    tell, root = get_run_logger().info, Path()
    if revision is not None or recipe is not None:
        with nobody_at_work(root):
            if revision is not None:
                take_revision(root, revision, tell)
            if recipe is not None:
                take_recipe(root, recipe, tell)
    # Also for stages that turn out to be up to date: a mistake would wait for the next run.
    require_valid(root, root / PARAMS, profile)


def _tag() -> str:
    """What the stages' own flow runs are found by."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return tag_of(run) if run is not None else "repro"
