"""The account of a budget, and the rate at which an endpoint may be asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from polylm_core.teachers.config import Budget, Prices
from polylm_core.teachers.spending import Account, BudgetSpentError, Rate, most_of
from polylm_core.teachers.teacher import Usage

PRICES = Prices(per_million_prompt_tokens=1_000_000, per_million_answer_tokens=2_000_000)


async def request(account: Account, most: Usage, took: Usage) -> None:
    async with account.set_aside(most):
        await asyncio.sleep(0.01)
        account.count(took)


def test_requests_wait_for_what_others_leave_and_never_exceed_the_budget() -> None:
    async def spend() -> Account:
        account = Account(Budget(max_tokens=100), None)
        # Two at once by what they could cost; all five by what they do.
        await asyncio.gather(
            *(request(account, Usage(1, 30, 20), Usage(1, 8, 2)) for _ in range(5))
        )
        return account

    assert asyncio.run(spend()).spent == Usage(5, 40, 10)


def test_a_request_that_could_cost_more_than_is_left_is_not_sent() -> None:
    async def spend() -> Account:
        account = Account(Budget(max_tokens=100), None)
        account.count(Usage(1, 40, 11))
        with pytest.raises(BudgetSpentError):
            await request(account, Usage(1, 30, 20), Usage(1, 1, 1))
        await request(account, Usage(1, 29, 20), Usage(1, 29, 20))
        return account

    assert asyncio.run(spend()).spent.tokens == 100


def test_money_is_counted_by_the_prices_of_prompts_and_answers() -> None:
    async def spend(max_money: float) -> None:
        await request(Account(Budget(max_money=max_money), PRICES), Usage(1, 3, 4), Usage(1, 3, 4))

    asyncio.run(spend(11.0))
    with pytest.raises(BudgetSpentError):
        asyncio.run(spend(10.99))
    assert Usage(7, 3, 4).cost(PRICES) == 11.0
    assert Usage(7, 1_000, 4).describe(PRICES) == "1,004 tokens, 1,008.0000 spent"
    assert Usage(7, 1_000, 4).describe() == "1,004 tokens"


def test_what_a_failed_request_held_back_is_given_back() -> None:
    async def spend() -> None:
        account = Account(Budget(max_tokens=50), None)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                async with account.set_aside(Usage(1, 30, 20)):
                    raise ConnectionError

    asyncio.run(spend())


def test_a_prompt_cannot_have_more_tokens_than_bytes() -> None:
    assert most_of("ΩΩ", 40) == Usage(1, 4 + 64, 40)


@pytest.mark.parametrize("limits", [(1_200, None), (None, 2_400)])
def test_the_rate_is_kept_once_a_minutes_worth_is_used(limits: tuple[int | None, ...]) -> None:
    async def ask() -> float:
        rate = Rate(*limits)
        most = Usage(1, 0, 2)
        for _ in range(1_200):
            await rate.wait(most)
        started = time.monotonic()
        for _ in range(6):  # 20 a second
            await rate.wait(most)
        return time.monotonic() - started

    assert 0.15 < asyncio.run(ask()) < 3


def test_a_request_larger_than_the_rate_is_sent_all_the_same() -> None:
    asyncio.run(Rate(None, 10).wait(Usage(1, 300, 40)))
