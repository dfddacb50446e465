"""Models of quality: made or read, asked for scores, cut by share (PolyLM §3.1, step 3).

model = load(config, "deu_Latn", path)
scores = model.score(texts)                       # float64 (N,), higher is better
keep = scores >= threshold(scores, config.drop_share)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import fasttext
import numpy as np

from polylm_core import tokenizer
from polylm_core.errors import SourceError
from polylm_core.languages import get_language
from polylm_core.ngram_model.model import NgramModel, Scores
from polylm_core.ngram_model.train import NgramTraining
from polylm_core.ngram_model.train import train as train_ngrams
from polylm_core.ngram_model.units import Unit
from polylm_core.stages.curate.classifier import LinearClassifier
from polylm_core.stages.curate.quality_config import ClassifierConfig, PerplexityConfig


class QualityModel(Protocol):
    """What gives scores."""

    def score(self, texts: Sequence[str]) -> Scores:
        """One score a text, higher is better; -inf for a text without words."""


def train(
    config: PerplexityConfig | ClassifierConfig,
    language: str,
    trusted: Iterable[str],
    crawl: Iterable[str] = (),
) -> bytes:
    """The file of a model trained on trusted texts (and, for a classifier, against the crawl's).

    The same bytes for the same texts in any order. Raises StageError when there is no text.
    """
    unit = unit_of(config, language)
    if isinstance(config, ClassifierConfig):
        return LinearClassifier.train(trusted, crawl, config, unit).to_bytes()
    training = NgramTraining(
        unit=unit,
        order=config.order,
        max_training_bytes=config.max_training_bytes,
        max_ngrams=config.max_ngrams,
    )
    return bytes(NgramModel.of(train_ngrams(trusted, training), unit).to_kenlm())


def load(
    config: PerplexityConfig | ClassifierConfig,
    language: str,
    path: Path,
    pieces: Path | None = None,
) -> QualityModel:
    """The model of a file, trained here or declared; `pieces` is the file of `config.pieces`.

    Raises SourceError when the file is not such a model.
    """
    if isinstance(config, PerplexityConfig):
        model = NgramModel.load(path, unit_of(config, language))
        return model if pieces is None else _PieceModel(model, pieces)
    if config.label is not None:
        return _FastTextModel(path, config.label)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: the model cannot be read: {error}") from error
    return LinearClassifier.of_bytes(data, str(path))


def unit_of(config: PerplexityConfig | ClassifierConfig, language: str) -> Unit:
    """What a language's model counts."""
    if isinstance(config, PerplexityConfig) and config.unit is not None:
        return config.unit
    return "words" if get_language(language).words == "spaces" else "characters"


def threshold(scores: Scores, drop_share: float) -> float:
    """The score below which a text is dropped: at most `drop_share` of all texts are.

    Texts of equal scores stay or go together, and stay where the cut falls among them; the order of
    the scores does not matter.
    """
    if not len(scores):
        return float("-inf")
    return float(np.sort(scores)[int(drop_share * len(scores))])


class _PieceModel:
    """An n-gram model of SentencePiece pieces, as CCNet publishes them."""

    def __init__(self, model: NgramModel, pieces: Path) -> None:
        self._model = model
        self._pieces = tokenizer.load(pieces)

    def score(self, texts: Sequence[str]) -> Scores:
        return self._model.score([self._in_pieces(text) for text in texts])

    def _in_pieces(self, text: str) -> str:
        lines = [ccnet_normalise(line) for line in text.split("\n")]
        piece = self._pieces.piece
        return "\n".join(" ".join(map(piece, ids)) for ids in self._pieces.encode_batch(lines))


class _FastTextModel:
    """A supervised fastText model; the score is the probability of one label."""

    def __init__(self, path: Path, label: str) -> None:
        try:
            # `.f` is the compiled model; the wrapper around it repacks every answer.
            self._model = fasttext.load_model(str(path)).f
        except (ValueError, RuntimeError) as error:
            raise SourceError(f"{path}: not a fastText model: {error}") from error
        self._label = f"__label__{label.removeprefix('__label__')}"
        known = {name for _, name in self._model.predict("a\n", -1, 0.0, "strict")}
        if self._label not in known:
            raise SourceError(
                f"{path}: has no label {self._label!r}, only {', '.join(sorted(known)[:10])}"
            )

    def score(self, texts: Sequence[str]) -> Scores:
        return np.array([self._probability(text) for text in texts], np.float64)

    def _probability(self, text: str) -> float:
        line = " ".join(text.split())
        if not line:
            return float("-inf")
        found = self._model.predict(f"{line}\n", -1, 0.0, "strict")
        return float(sum(probability for probability, label in found if label == self._label))


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIGIT = re.compile(r"\d")
_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("„”“«»」「《》１", '"'),
        **dict.fromkeys("–━►", "-"),
        **dict(zip("，。、´∶：？！（）；～’〈〉【】％", ",.,'::?!();~'<>[]%", strict=True)),
        "—": " - ",
        "．": ". ",
        "…": "...",
    }
)
"""CCNet's table, with its full-width 1 that stands for a quotation mark: models learned it so."""


def ccnet_normalise(line: str) -> str:
    """A line as CCNet's models saw it in training: no case, accents, digits or odd punctuation."""
    decomposed = unicodedata.normalize("NFD", line.strip().lower())
    plain = "".join(each for each in decomposed if unicodedata.category(each) != "Mn")
    return _CONTROL.sub("", _DIGIT.sub("0", plain).translate(_PUNCTUATION))
