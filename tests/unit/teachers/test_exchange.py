"""What an endpoint's headers ask for; the exchange itself is tested with its teacher."""

from __future__ import annotations

import time
from email.utils import formatdate

import httpx
import pytest

from polylm_core.teachers.exchange import LONGEST_RETRY_AFTER_SECONDS, retry_after


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("0.25", 0.25), ("-3", 0), ("soon", 0), ("1e9", LONGEST_RETRY_AFTER_SECONDS)],
)
def test_seconds_are_bounded(said: str, seconds: float) -> None:
    assert retry_after(httpx.Headers({"Retry-After": said})) == seconds
    assert retry_after(httpx.Headers()) == 0


def test_a_date_is_a_time_from_now() -> None:
    ahead = formatdate(time.time() + 100, usegmt=True)
    assert 90 < retry_after(httpx.Headers({"Retry-After": ahead})) <= 100
    assert retry_after(httpx.Headers({"Retry-After": formatdate(0, usegmt=True)})) == 0
