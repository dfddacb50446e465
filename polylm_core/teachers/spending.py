"""What answers cost, held against the declared budget; and how fast an endpoint may be asked.

Before a request is sent, the most it can cost is set aside, so that what is counted never exceeds
the budget: a token is at least a byte of the prompt, and the endpoint keeps to the length limit.
While others are under way it waits for what they leave. A try whose answer was lost on the way
stays set aside, because the endpoint may have charged for it. What it charges for requests that
were under way when a run was killed, nobody here knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

from polylm_core.teachers.config import Budget, Prices
from polylm_core.teachers.teacher import Usage

TEMPLATE_TOKENS = 64
"""Room for what an endpoint's chat template adds to a prompt."""
BYTES_PER_TOKEN = 3
"""A guess, for the endpoint's token rate only."""


class BudgetSpentError(Exception):
    """Too little is left for a request, and nothing is under way that could leave more."""


class Account:
    """What was spent, and what is set aside for the requests under way."""

    def __init__(self, budget: Budget, prices: Prices | None) -> None:
        self.spent = Usage()
        """What the answers took, as the endpoint counts it."""
        self.lost = Usage()
        """The most that lost tries can have cost."""
        self._set_aside = Usage()
        self._budget = budget
        self._prices = prices
        self._changed = asyncio.Condition()

    def count(self, usage: Usage) -> None:
        """Count an answer that was paid for before."""
        self.spent += usage

    def lose(self, most: Usage) -> None:
        """Keep what a try was given, if the budget counts lost tries."""
        if self._budget.counts_lost_tries:
            self.lost += most

    @asynccontextmanager
    async def set_aside(self, most: Usage) -> AsyncIterator[None]:
        """Hold back the most a try can cost until the block ends; the block counts or loses it.

        Raises BudgetSpentError.
        """
        async with self._changed:
            while not self._covers(self.spent + self.lost + self._set_aside + most):
                if self._set_aside == Usage():
                    raise BudgetSpentError
                await self._changed.wait()
            self._set_aside += most
        try:
            yield
        finally:
            self._set_aside = _less(self._set_aside, most)
            async with self._changed:
                self._changed.notify_all()

    def _covers(self, usage: Usage) -> bool:
        tokens, money = self._budget.max_tokens, self._budget.max_money
        return (tokens is None or usage.tokens <= tokens) and (
            money is None or usage.cost(self._prices) <= money
        )


def _less(usage: Usage, other: Usage) -> Usage:
    return Usage(
        usage.answers - other.answers,
        usage.prompt_tokens - other.prompt_tokens,
        usage.answer_tokens - other.answer_tokens,
    )


def most_of(prompt: str, max_new_tokens: int) -> Usage:
    """The most that a request can cost."""
    return Usage(1, len(prompt.encode()) + TEMPLATE_TOKENS, max_new_tokens)


class Rate:
    """Requests and tokens a minute; none is no limit."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests = AsyncLimiter(requests_per_minute) if requests_per_minute else None
        self._tokens = AsyncLimiter(tokens_per_minute) if tokens_per_minute else None

    async def wait(self, most: Usage) -> None:
        """Wait until a request may be sent; endpoints count its length limit as used."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            guess = most.prompt_tokens // BYTES_PER_TOKEN + most.answer_tokens
            await self._tokens.acquire(min(guess, self._tokens.max_rate))
