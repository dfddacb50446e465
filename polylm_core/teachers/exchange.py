"""One request and its answer in OpenAI's protocol, tried until there is one or it is in vain.

What may go better next time (429, 5xx, a time-out, a connection lost, an answer cut off or not
JSON) is tried again after a jittered, growing wait. Every try of a request carries the same
`Idempotency-Key`, so that an endpoint that knows it charges once. The key to the endpoint is held
here alone, and cut out of whatever the endpoint says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from polylm_core.errors import TeacherError
from polylm_core.teachers.answer_store import Request
from polylm_core.teachers.config import OpenAITeacher
from polylm_core.teachers.spending import Account, Rate
from polylm_core.teachers.teacher import Answer

if TYPE_CHECKING:  # a new option of a profile must not make a cheap stage stale
    from polylm_core.settings import Endpoint

FAILED = "teacher-failed"
REFUSED = "teacher-refused"
REJECTED = "teacher-rejected"
TRIED_AGAIN = {408, 409, 425, 429}
"""HTTP's answers below 500 that say: later."""
OF_THE_PROMPT = {400, 413, 422}
"""Those that say no to this prompt; another one may be answered."""
CONTENT_CODES = {"content_filter", "content_policy_violation"}
HIDDEN = "[key]"
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""What an endpoint asks for beyond is not waited for."""
SHOWN_CHARACTERS = 300
"""Of what an endpoint says beside an error."""


class NoAnswerError(Exception):
    """A request got no answer; the reason is one of the funnel."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _TryAgain(NoAnswerError):
    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(FAILED, message)
        self.wait_seconds = wait_seconds


class _LostError(_TryAgain):
    """A try whose answer did not arrive although the endpoint may have charged for it."""


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class _Complaint(BaseModel):
    message: str = ""
    code: str | int | None = None


class _ErrorReply(BaseModel):
    error: _Complaint


class Exchange:
    """The connections to an endpoint."""

    def __init__(
        self, config: OpenAITeacher, endpoint: Endpoint, key: SecretStr | None, account: Account
    ) -> None:
        self.num_lost = 0
        """Tries whose answer did not arrive although the endpoint may have charged for it."""
        self._config = config
        self._endpoint = endpoint
        self._key = key
        self._account = account
        self._halted = asyncio.Event()
        self._rate = Rate(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._backoff = wait_random_exponential(
            multiplier=endpoint.first_wait_seconds, max=endpoint.longest_wait_seconds
        )
        self._client = httpx.AsyncClient(
            base_url=endpoint.address,
            headers={} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"},
            timeout=None,  # of single reads: `_try` bounds all of it
            limits=httpx.Limits(max_connections=endpoint.concurrent_requests),
        )

    @property
    def is_halted(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._halted.is_set()

    def halt(self) -> None:
        """Let the requests under way end, try none again and begin none."""
        self._halted.set()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def answer(self, request: Request, keep: Callable[[Answer], None]) -> None:
        """Get the answer and hand it to `keep`, which stores and counts it.

        Raises NoAnswerError for this request, TeacherError or BudgetSpentError for all of them.
        """
        most = self._endpoint.max_tries
        tries = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=lambda state: self.is_halted or state.attempt_number >= most,
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        await tries(self._try, request, keep)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.wait_seconds if isinstance(error, _TryAgain) else 0.0
        return max(self._backoff(state), asked)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)

    async def _try(self, request: Request, keep: Callable[[Answer], None]) -> None:
        self._require_going_on()
        async with self._account.set_aside(request.most):
            await self._wait_for_turn(request)
            self._require_going_on()
            try:
                answer = await self._send(request)
            except _LostError:
                self.num_lost += 1
                self._account.lose(request.most)
                raise
            keep(answer)

    async def _wait_for_turn(self, request: Request) -> None:
        """Wait until the rate allows a request, or nothing more is to be asked."""
        turn = asyncio.create_task(self._rate.wait(request.most))
        halted = asyncio.create_task(self._halted.wait())
        try:
            await asyncio.wait((turn, halted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()
            halted.cancel()

    def _require_going_on(self) -> None:
        if self.is_halted:
            raise _TryAgain("the stage stops")

    async def _send(self, request: Request) -> Answer:
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                response = await self._client.post(
                    request.path, json=request.body, headers={"Idempotency-Key": request.key}
                )
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            raise _TryAgain(f"no connection to {self._endpoint.address} ({error})") from None
        except TimeoutError:
            seconds = self._endpoint.timeout_seconds
            raise _LostError(f"no answer within {seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _LostError(f"the connection broke ({type(error).__name__})") from None
        if response.status_code != httpx.codes.OK:
            raise self._problem(response)
        return self._read(response.text)

    def _read(self, text: str) -> Answer:
        try:
            reply = _Reply.model_validate_json(self._clean(text))
        except ValidationError:
            raise _LostError("the answer is not JSON of OpenAI's form") from None
        if reply.usage is None:
            raise TeacherError(
                f"{self._endpoint.address} does not say how many tokens an answer took (`usage`), "
                "so that no budget can be kept; switch it on in the endpoint"
            )
        choice = reply.choices[0]
        message = choice.message or _Message(content=choice.text)
        is_refused = choice.finish_reason == "content_filter" or (
            message.refusal is not None and not message.content
        )
        return Answer(
            text="" if is_refused else message.content or "",
            is_complete=choice.finish_reason == "stop",
            prompt_tokens=reply.usage.prompt_tokens,
            answer_tokens=reply.usage.completion_tokens,
            failure=REFUSED if is_refused else "",
        )

    def _problem(self, response: httpx.Response) -> Exception:
        """What an answer other than 200 means."""
        status = response.status_code
        complaint = self._complaint(response)
        said = f"HTTP {status}: {complaint.message}" if complaint.message else f"HTTP {status}"
        if complaint.code == "insufficient_quota" or status == httpx.codes.PAYMENT_REQUIRED:
            remedy = "there is no credit left; add some and run again, what was answered is kept"
        elif status in TRIED_AGAIN or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return _TryAgain(said, retry_after(response.headers))
        elif status in OF_THE_PROMPT:
            return NoAnswerError(REFUSED if complaint.code in CONTENT_CODES else REJECTED, said)
        elif status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            remedy = self._about_the_key()
        elif status == httpx.codes.NOT_FOUND:
            remedy = (
                f"it knows no model {self._config.model!r} or no such address; correct "
                f"`{self._config.role}.model` in the params or "
                f"`endpoints.{self._config.endpoint}.address` in the profile"
            )
        else:
            remedy = f"correct `endpoints.{self._config.endpoint}.address` in the profile"
        return TeacherError(f"{self._endpoint.address} says {said}; {remedy}")

    def _about_the_key(self) -> str:
        variable = self._endpoint.key_variable
        if variable is None:
            return (
                "it wants a key; name the environment variable that holds one in "
                f"`endpoints.{self._config.endpoint}.key_variable` of the profile"
            )
        return f"set the environment variable {variable} to a key that may use {self._config.model}"

    def _complaint(self, response: httpx.Response) -> _Complaint:
        text = self._clean(response.text)
        try:
            found = _ErrorReply.model_validate_json(text).error
        except ValidationError:
            found = _Complaint(message=text)
        shown = " ".join(found.message.split())[:SHOWN_CHARACTERS]
        return _Complaint(message=shown, code=found.code)

    def _clean(self, text: str) -> str:
        return text if self._key is None else text.replace(self._key.get_secret_value(), HIDDEN)


def retry_after(headers: httpx.Headers) -> float:
    """Seconds that an endpoint asks to wait, given as such or as a date; 0 if it does not."""
    said, seconds = headers.get("Retry-After", ""), 0.0
    with suppress(ValueError):
        date = parsedate_to_datetime(said)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.now(UTC)).total_seconds()
    with suppress(ValueError):
        seconds = float(said)
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)
