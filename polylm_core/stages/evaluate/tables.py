"""The rows that `evaluate` writes: one score a line, and what each score was computed from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa

ALL_LANGUAGES = ""
"""Language of a score over all languages."""


@dataclass(frozen=True, slots=True)
class Score:
    """One number with its 95 % interval."""

    model: str
    """`base` or `chat`."""
    suite: str
    """`bits_per_byte`, `translation`, `answers`, `translation_choice`, `judge`,
    `language_confusion`, `contamination`, or a benchmark's
    name."""
    metric: str
    language: str
    """A FLORES-200 code, or empty for all languages together."""
    value: float
    low: float | None
    high: float | None
    items: int
    baseline: float | None
    """What no skill at all would score; None where that has no meaning."""
    verdict: str = ""
    """`above chance` or `not above chance`, where the baseline is what chance scores."""


def judged(score: Score) -> Score:
    """Say in words whether a score is above its baseline, which is what chance scores."""
    if score.baseline is None or score.low is None:
        return score
    above = score.low > score.baseline
    return replace(score, verdict="above chance" if above else "not above chance")


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """A held-out document and the bits one model needs for it."""

    model: str
    language: str
    id: str
    bytes: int
    """UTF-8 bytes of the part that was scored."""
    tokens: int
    bits: float
    unigram_bits: float
    """Bits by the add-one unigram counts of the tokens drawn in pretraining."""


@dataclass(frozen=True, slots=True)
class Translation:
    """One side of a held-out pair, translated by the chat model."""

    language: str
    """The language beside English."""
    direction: str
    """`from_english` or `into_english`."""
    id: str
    source: str
    reference: str
    output: str
    stopped: bool
    """The model ended its answer itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One held-out instruction and what the chat model answered."""

    id: str
    language: str
    """The language asked for."""
    prompt_language: str
    origin: str
    prompt: str
    reference: str
    answer: str
    answer_tokens: int
    stopped: bool
    """The model ended its answer itself."""
    identified_label: str
    """fastText's lid.176 label of the answer; empty for an answer without letters."""
    in_language: bool | None
    """The label is one of the language asked for; none where lid.176 does not know the language."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One four-way question and the log-likelihood of each candidate, by the harness."""

    language: str
    id: str
    source: str
    choices: tuple[str, ...]
    answer: int
    log_likelihoods: tuple[float, ...]
    acc: bool
    acc_norm: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """One item of a benchmark, what the model was asked and what it made of it."""

    model: str
    suite: str
    language: str
    item: int
    """Its place among the items asked, from 0."""
    prompts: tuple[str, ...]
    """One; one an option where options differ in the prompt."""
    options: tuple[str, ...]
    log_likelihoods: tuple[float, ...]
    """Of the options, in nats."""
    output: str
    """What the model wrote, where there are no options."""
    target: str
    metrics: str
    """JSON: the harness's value of each metric for this item."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One question, the chat model's answer and what the judge said of it."""

    language: str
    question_id: int
    category: str
    question: str
    answer: str
    answer_tokens: int
    stopped: bool
    """The model ended its answer itself."""
    prompt: str
    """Name of the judge's prompt."""
    judgement: str
    rating: float | None
    """From 1 to 10; none where there is none."""
    failure: str
    """Why there is no rating; empty where there is one."""


@dataclass(frozen=True, slots=True)
class ContaminatedItem:
    """An item of an evaluation set that occurs in what a model was trained on."""

    model: str
    suite: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class HarnessScore:
    """What the harness reports of one language, numbers only."""

    language: str
    metric: str
    """`acc` or `acc_norm`."""
    value: float
    standard_error: float
    items: int


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema(list(columns))


_TEXT, _COUNT, _NUMBER, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

SCORE_SCHEMA = _schema(
    ("model", _TEXT),
    ("suite", _TEXT),
    ("metric", _TEXT),
    ("language", _TEXT),
    ("value", _NUMBER),
    ("low", _NUMBER),
    ("high", _NUMBER),
    ("items", _COUNT),
    ("baseline", _NUMBER),
    ("verdict", _TEXT),
)
DOCUMENT_SCORE_SCHEMA = _schema(
    ("model", _TEXT),
    ("language", _TEXT),
    ("id", _TEXT),
    ("bytes", _COUNT),
    ("tokens", _COUNT),
    ("bits", _NUMBER),
    ("unigram_bits", _NUMBER),
)
TRANSLATION_SCHEMA = _schema(
    ("language", _TEXT),
    ("direction", _TEXT),
    ("id", _TEXT),
    ("source", _TEXT),
    ("reference", _TEXT),
    ("output", _TEXT),
    ("stopped", _FLAG),
)
ANSWER_SCHEMA = _schema(
    ("id", _TEXT),
    ("language", _TEXT),
    ("prompt_language", _TEXT),
    ("origin", _TEXT),
    ("prompt", _TEXT),
    ("reference", _TEXT),
    ("answer", _TEXT),
    ("answer_tokens", _COUNT),
    ("stopped", _FLAG),
    ("identified_label", _TEXT),
    ("in_language", _FLAG),
)
CHOICE_SCHEMA = _schema(
    ("language", _TEXT),
    ("id", _TEXT),
    ("source", _TEXT),
    ("choices", pa.list_(_TEXT)),
    ("answer", _COUNT),
    ("log_likelihoods", pa.list_(_NUMBER)),
    ("acc", _FLAG),
    ("acc_norm", _FLAG),
)
JUDGEMENT_SCHEMA = _schema(
    ("language", _TEXT),
    ("question_id", _COUNT),
    ("category", _TEXT),
    ("question", _TEXT),
    ("answer", _TEXT),
    ("answer_tokens", _COUNT),
    ("stopped", _FLAG),
    ("prompt", _TEXT),
    ("judgement", _TEXT),
    ("rating", _NUMBER),
    ("failure", _TEXT),
)
CONTAMINATED_SCHEMA = _schema(
    ("model", _TEXT),
    ("suite", _TEXT),
    ("language", _TEXT),
    ("text", _TEXT),
)
PREDICTION_SCHEMA = _schema(
    ("model", _TEXT),
    ("suite", _TEXT),
    ("language", _TEXT),
    ("item", _COUNT),
    ("prompts", pa.list_(_TEXT)),
    ("options", pa.list_(_TEXT)),
    ("log_likelihoods", pa.list_(_NUMBER)),
    ("output", _TEXT),
    ("target", _TEXT),
    ("metrics", _TEXT),
)
