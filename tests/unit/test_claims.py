"""Who makes an artifact, where runs share nothing but a bucket with conditional writes."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from typing import Any

import pytest

from polylm_core import claims, remote
from polylm_core.claims import Claim
from polylm_core.errors import LockedError, UnreachableError

ADDRESS = "s3://bucket/claims/mix-0123.json"


class Bucket:
    """One object of a store that keeps S3's conditions, and loses answers when told to."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.lost_answers = 0.0
        self._lots = random.Random(7)
        self._lock = threading.Lock()

    @property
    def _etag(self) -> str:
        assert self.content is not None
        return f'"{hashlib.md5(self.content).hexdigest()}"'

    def pipe_file(
        self, path: str, data: bytes, mode: str = "overwrite", IfMatch: str = ""
    ) -> dict[str, str]:
        with self._lock:
            fails = self._lots.random() < self.lost_answers
            if fails and self._lots.random() < 0.5:
                raise OSError("503 before anything was done")
            if mode == "create" and self.content is not None:
                raise FileExistsError("412")
            if IfMatch and (self.content is None or self._etag != IfMatch):
                raise OSError("412")
            self.content = data
            if fails:
                raise OSError("the connection broke before the answer")
            return {"ETag": self._etag}

    def info(self, path: str) -> dict[str, str]:
        self._may_fail()
        return {"ETag": self._etag}

    def cat_file(self, path: str) -> bytes:
        self._may_fail()
        assert self.content is not None
        return self.content

    def rm_file(self, path: str) -> None:
        self._may_fail()
        self.content = None

    def _may_fail(self) -> None:
        if self._lots.random() < self.lost_answers:
            raise OSError("503")
        if self.content is None:
            raise FileNotFoundError(ADDRESS)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket()
    monkeypatch.setattr(claims, "filesystem_of", lambda uri: (bucket, uri))
    monkeypatch.setattr(claims, "RENEW_SECONDS", 0.02)
    monkeypatch.setattr(claims, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.001)
    return bucket


def claim(wait_seconds: float = 0.1) -> Claim:
    return Claim(ADDRESS, what="data/05_mixture", wait_seconds=wait_seconds)


def held_by(bucket: Bucket, **changes: Any) -> None:
    """Plant the claim of another machine's run, which is not renewed."""
    holder = {"host": "far", "machine": "another", "pid": 1, "started": "1", "token": "t"}
    bucket.content = json.dumps(holder | changes).encode()


def test_a_second_run_is_told_who_makes_the_artifact(bucket: Bucket) -> None:
    with claim() as first:
        with pytest.raises(LockedError, match="already being made by process"), claim():
            pass
        first.require_held()
    assert bucket.content is None


def test_a_claim_that_is_not_renewed_is_a_dead_runs(bucket: Bucket) -> None:
    held_by(bucket)
    with claim() as taken:
        taken.require_held()
        assert json.loads(bucket.content or b"")["host"] != "far"


def test_the_claim_of_a_process_that_ended_on_this_machine_is_taken_at_once(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 3600.0)
    held_by(bucket, machine=claims._machine(), pid=2**22 + 1)
    with claim() as taken:
        taken.require_held()


def test_who_was_suspended_while_the_claim_was_taken_over_may_not_publish(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEW_SECONDS", 3600.0)  # no renewal has noticed it yet
    with claim() as first:
        first.require_held()
        held_by(bucket)
        with pytest.raises(LockedError, match=r"took .* over"):
            first.require_held()
    assert json.loads(bucket.content or b"")["host"] == "far", "another's claim was removed"


def test_a_renewal_that_finds_the_claim_taken_over_remembers_it(bucket: Bucket) -> None:
    with claim() as first:
        held_by(bucket)
        first._thread.join(timeout=5)
        bucket.content = None  # the other has finished meanwhile
        with pytest.raises(LockedError, match=r"took .* over"):
            first.require_held()


def test_a_claim_that_was_given_back_early_is_another_runs_from_then_on(bucket: Bucket) -> None:
    with claim() as first:
        first.release()
        assert bucket.content is None
        held_by(bucket)
    assert json.loads(bucket.content or b"")["host"] == "far", "another's claim was removed"


def test_of_many_runs_at_once_one_holds_it_at_a_time_though_answers_are_lost(
    bucket: Bucket,
) -> None:
    bucket.lost_answers = 0.2
    inside, most, lock = 0, 0, threading.Lock()
    lots = random.Random(1)

    def run() -> None:
        nonlocal inside, most
        while True:
            try:
                with claim(wait_seconds=20.0) as held:
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    threading.Event().wait(lots.uniform(0.0, 0.03))
                    held.require_held()
                    with lock:
                        inside -= 1
                return
            except (LockedError, UnreachableError):
                continue

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert (most, inside) == (1, 0)
