"""A teacher behind any endpoint that speaks OpenAI's protocol: vLLM, or a hosted model.

Many requests are under way at once, in one process; what they answer is stored as it comes, found
again by the whole request, and counted against the budget. The result depends on the answers alone,
never on the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from polylm_core.errors import TeacherError
from polylm_core.storage import fingerprint
from polylm_core.teachers.answer_store import AnswerStore, Request
from polylm_core.teachers.config import OpenAITeacher
from polylm_core.teachers.exchange import REFUSED, REJECTED, Exchange, NoAnswerError
from polylm_core.teachers.places import key_of
from polylm_core.teachers.spending import Account, BudgetSpentError, most_of
from polylm_core.teachers.teacher import Answer, Sampling, Usage, usage_of

if TYPE_CHECKING:  # a new option of a profile must not make a cheap stage stale
    from polylm_core.settings import Endpoint

SEED_BITS = 31
"""Of the seed sent: any server's integer holds it."""
LASTING = {REFUSED, REJECTED}
"""What an endpoint says no to, whenever it is asked."""


class EndpointTeacher:
    """Asks an endpoint while its block is open."""

    is_remote = True

    def __init__(
        self,
        config: OpenAITeacher,
        endpoint: Endpoint,
        answers: Path,
        *,
        num_prompts: int,
        on_answer: Callable[[Usage], None],
        asks_more: bool = False,
    ) -> None:
        """`num_prompts` will be asked in all; `on_answer` hears of what was used after each.

        With `asks_more` the number is raised as prompts come, and nobody knows how many follow.
        """
        self._config = config
        self.num_prompts = num_prompts
        """Prompts that will have been asked in all, as far as known."""
        self._asks_more = asks_more
        self._on_answer = on_answer
        self._account = Account(config.budget, config.prices)
        self._exchange = Exchange(config, endpoint, key_of(config, endpoint), self._account)
        self._store = AnswerStore(answers)
        self._places = asyncio.Semaphore(endpoint.concurrent_requests)
        self._runner = asyncio.Runner()
        self._counted: set[str] = set()
        self._num_failed = 0
        self._fatal: Exception | None = None

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._exchange.close())
        finally:
            self._runner.close()
            self._store.__exit__()

    @property
    def spent(self) -> Usage:
        """What the answers given so far took, whenever they were paid for."""
        return self._account.spent

    @property
    def num_lost(self) -> int:
        """Tries whose answer did not arrive although the endpoint may have charged for it."""
        return self._exchange.num_lost

    @property
    def doubt(self) -> str:
        """What the account cannot know, if there is anything."""
        if not self.num_lost:
            return ""
        lost = self._account.lost.tokens
        counted = f", and which count with {lost:,} tokens at most" if lost else ""
        return (
            f"; the answers to {self.num_lost:,} tries were lost on the way, for which an endpoint "
            f"that does not know `Idempotency-Key` charges too{counted}"
        )

    def ask(
        self, prompts: Sequence[str], sampling: Sampling, seed: int, *, system: str = ""
    ) -> list[Answer]:
        """Answer all prompts; raises TeacherError, once the requests under way have ended.

        `system` goes before each as a message of its own, in the form `chat` alone.
        """
        return self._runner.run(self._ask(self._requests(prompts, sampling, seed, system)))

    def _requests(
        self, prompts: Sequence[str], sampling: Sampling, seed: int, system: str
    ) -> list[Request]:
        seen: Counter[str] = Counter()
        requests = []
        for prompt in prompts:
            seen[prompt] += 1
            sample = int(fingerprint([seed, prompt, seen[prompt]]), 16) % 2**SEED_BITS
            requests.append(self._request(prompt, sampling, sample, system))
        return requests

    def _request(self, prompt: str, sampling: Sampling, sample: int, system: str) -> Request:
        config = self._config
        further = {"seed": sample, "top_k": sampling.top_k}
        is_chat = config.form == "chat"
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": prompt})
        asked: dict[str, Any] = {"messages": messages} if is_chat else {"prompt": prompt}
        return Request(
            endpoint=config.endpoint,
            path="/chat/completions" if is_chat else "/completions",
            body={
                "model": config.model,
                **asked,
                "temperature": sampling.temperature,
                config.length_setting: sampling.max_new_tokens,
                **{name: further[name] for name in config.further_settings},
            },
            sample=sample,
            most=most_of(system + prompt, sampling.max_new_tokens),
        )

    async def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        answers = {request.key: self._stored(request) for request in requests}
        missing = [request for request in requests if answers[request.key] is None]
        answers |= zip(
            (request.key for request in missing),
            await asyncio.gather(*map(self._answer, missing)),
            strict=True,
        )
        if isinstance(self._fatal, BudgetSpentError):
            raise self._budget_is_spent() from None
        if self._fatal is not None:
            raise self._fatal
        for request in missing:
            answer = answers[request.key]
            # What was refused or rejected stays so, and is asked once; what failed may go better in
            # the next run.
            if (
                answer is not None
                and answer.failure in LASTING
                and self._store.get(request) is None
            ):
                self._store.add(request, answer)
        return [
            replace(answer, request=request.key)
            for request in requests
            if (answer := answers[request.key]) is not None
        ]

    def _stored(self, request: Request) -> Answer | None:
        answer = self._store.get(request)
        return None if answer is None else self._count(request, answer, "what was stored")

    async def _answer(self, request: Request) -> Answer | None:
        """Get one answer; none once the teacher has been stopped."""
        kept: list[Answer] = []

        def keep(answer: Answer) -> None:
            self._store.add(request, answer)
            kept.append(self._count(request, answer, "the answer"))

        try:
            async with self._places:
                if self._exchange.is_halted:
                    return None
                await self._exchange.answer(request, keep)
                return kept[0]
        except NoAnswerError as error:
            if self._exchange.is_halted:
                return None
            return self._count(request, Answer("", False, 0, 0, error.reason), str(error))
        except Exception as error:  # whatever it is, the others must not go on spending
            self._stop(error)
            return None

    def _count(self, request: Request, answer: Answer, said: str) -> Answer:
        if request.key not in self._counted:
            self._counted.add(request.key)
            self._account.count(usage_of([answer]))
            self._on_answer(self._account.spent)
            if answer.failure:
                self._require_few_failures(f"{answer.failure} ({said})")
        return answer

    def _stop(self, error: Exception) -> None:
        self._fatal = self._fatal or error
        self._exchange.halt()

    def _require_few_failures(self, last: str) -> None:
        self._num_failed += 1
        most = self._config.max_failed_share * self.num_prompts
        if self._num_failed > most:
            self._stop(
                TeacherError(
                    f"{self._config.endpoint} left {self._num_failed} of {self.num_prompts} "
                    f"prompts without an answer, {int(most)} may be; the last: {last}. Mend the "
                    f"endpoint or raise `{self._config.role}.max_failed_share`, and run again: "
                    "what was answered is kept and not asked again"
                )
            )

    def _budget_is_spent(self) -> TeacherError:
        spent, prices = self._account.spent, self._config.prices
        missing = self.num_prompts - spent.answers
        budget = self._config.budget
        allowed = [f"{budget.max_tokens:,} tokens"] if budget.max_tokens is not None else []
        allowed += [f"{budget.max_money:,.4f}"] if budget.max_money is not None else []
        share = missing / max(1, spent.answers)
        money = f" and {spent.cost(prices) * share:,.4f}" if prices is not None else ""
        known = "prompts asked for so far" if self._asks_more else "prompts"
        more = "; what comes after them is not known yet" if self._asks_more else ""
        return TeacherError(
            f"the budget of {' and '.join(allowed)} does not cover another request to "
            f"{self._config.endpoint}: {spent.answers:,} answers took {spent.describe(prices)}; "
            f"{missing:,} of {self.num_prompts:,} {known} are without an answer, by the mean so "
            f"far {spent.tokens * share:,.0f} tokens{money}{more}{self.doubt}. Raise "
            f"`{self._config.role}.budget` and run again: what was answered is kept and not asked "
            "again"
        )
