"""Bits per byte of held-out documents, beside an add-one unigram model of the same tokens.

A document begins with the end-of-text token as its context, as in training. Longer ones are read
in windows of the model's context that overlap by half, so that every token but those of the
first window is predicted from at least half a context. Bits are divided by the UTF-8 bytes of
the text, which makes models with other tokenizers comparable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from polylm_core.errors import StageError
from polylm_core.records import Document, read_documents
from polylm_core.stages.evaluate.config import CompressionConfig
from polylm_core.stages.evaluate.intervals import percentile_interval, resamples
from polylm_core.stages.evaluate.model import LoadedModel
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Score, ScoredDocument

MAX_LOGITS = 1 << 25
"""Logits of one forward pass (128 MiB in float32); at least one window is always taken."""

SUITE = "bits_per_byte"


def excerpt(text: str, max_bytes: int) -> str:
    """The first lines of a text that fit `max_bytes`, or the beginning of one too long line."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    beginning = encoded[:max_bytes].decode(errors="ignore")
    lines, newline, _ = beginning.rpartition("\n")
    return lines if newline and lines.strip() else beginning


def choose_documents(path: Path, config: CompressionConfig, seed: int) -> list[Document]:
    """Excerpts of held-out documents in a seeded order, up to the language's bytes."""

    def order(document: Document) -> bytes:
        return hashlib.sha256(f"{seed}\0{document.id}".encode()).digest()

    chosen, num_bytes = [], 0
    for document in sorted(read_documents(path), key=order):
        text = excerpt(document.text, config.max_bytes_per_document)
        size = len(text.encode())
        if num_bytes + size > config.max_bytes_per_language:
            break
        chosen.append(
            Document(document.id, text, document.language, document.source, document.license)
        )
        num_bytes += size
    if not chosen:
        raise StageError(
            f"{path}: no document fits {config.max_bytes_per_language} bytes; raise "
            "evaluate.compression.max_bytes_per_language or curate.held_out.share"
        )
    return chosen


def unigram_bits(base: Path, language: str, vocabulary: int) -> npt.NDArray[np.float64]:
    """Bits of each token id by the add-one counts of what pretraining drew of a language."""
    table = pq.read_table(base / "drawn_unigrams.parquet")
    drawn = table.filter(pc.equal(table["language"], language))
    if drawn.num_rows == 0:
        raise StageError(
            f"pretraining drew no {language}, so its unigram baseline is undefined; give it "
            "tokens in `mix` or take it out of `languages`"
        )
    counts = np.ones(vocabulary)
    counts[drawn["id"].to_numpy()] += drawn["count"].to_numpy()
    return np.asarray(np.log2(counts.sum()) - np.log2(counts), dtype=np.float64)


def windows(length: int, context: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, first): inputs ids[start:end], scored targets ids[first:end + 1]."""
    start, first = 0, 1
    while first < length:
        end = min(start + context, length - 1)
        yield start, end, first
        start, first = end - context // 2, end + 1


def document_bits(loaded: LoadedModel, documents: Sequence[list[int]]) -> list[float]:
    """Bits of each document's ids, their end-of-text beginning not counted."""
    sequences = [[loaded.eos_id, *ids] for ids in documents]
    jobs = [
        (number, *window)
        for number, sequence in enumerate(sequences)
        for window in windows(len(sequence), loaded.context_tokens)
    ]
    jobs.sort(key=lambda job: (job[2] - job[1], job))
    bits = [0.0] * len(documents)
    while jobs:
        width = jobs[-1][2] - jobs[-1][1]
        size = max(1, MAX_LOGITS // (width * loaded.model.config.vocab_size))
        batch, jobs = jobs[-size:], jobs[:-size]
        ids_BT = torch.full((len(batch), width + 1), loaded.eos_id)
        for row, (number, start, end, _) in enumerate(batch):
            ids_BT[row, : end - start + 1] = torch.tensor(sequences[number][start : end + 1])
        ids_BT = ids_BT.to(loaded.device)
        # Padding stands on the right, where a causal model does not look: no mask is needed.
        with torch.inference_mode():
            logits_BTV = loaded.model(input_ids=ids_BT[:, :-1]).logits
            chosen_BT = logits_BTV.gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
            bits_BT = (logits_BTV.logsumexp(-1) - chosen_BT).double() / np.log(2)
        for row, (number, start, end, first) in enumerate(batch):
            bits[number] += float(bits_BT[row, first - 1 - start : end - start].sum())
    return bits


def score_language(
    loaded: LoadedModel,
    name: str,
    documents: Sequence[Document],
    language: str,
    baseline: npt.NDArray[np.float64],
) -> list[ScoredDocument]:
    """Bits of each document by the model called `name` and by the unigram baseline."""
    ids = [loaded.encode(document.text) for document in documents]
    return [
        ScoredDocument(
            model=name,
            language=language,
            id=document.id,
            bytes=len(document.text.encode()),
            tokens=len(tokens),
            bits=round(bits, 4),
            unigram_bits=round(float(baseline[tokens].sum()), 4),
        )
        for document, tokens, bits in zip(documents, ids, document_bits(loaded, ids), strict=True)
    ]


def score_compression(rows: Sequence[ScoredDocument], *, samples: int, seed: int) -> list[Score]:
    """Bits per byte and gain over unigrams, by model and language and as the languages' mean."""
    scores: list[Score] = []
    for model in sorted({row.model for row in rows}):
        of_model = [row for row in rows if row.model == model]
        languages = dict.fromkeys(row.language for row in of_model)
        parts = [
            _language_figures([row for row in of_model if row.language == language], samples, seed)
            for language in languages
        ]
        items = [sum(row.language == language for row in of_model) for language in languages]
        for language, figures, count in zip(languages, parts, items, strict=True):
            scores += _scores(model, language, figures, count)
        scores += _scores(model, ALL_LANGUAGES, np.mean(parts, axis=0), sum(items))
    return scores


def _language_figures(
    rows: Sequence[ScoredDocument], samples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Bits per byte of the model and of unigrams, shape (2, 1 + samples), the sample first."""
    sums = np.array([[row.bits, row.unigram_bits, row.bytes] for row in rows])
    # The same draws for every model, so that their difference is not blurred by the draw.
    draws = resamples(len(rows), samples, seed, SUITE, rows[0].language)
    totals = np.vstack([sums.sum(axis=0), sums[draws].sum(axis=1)])
    return np.asarray([totals[:, 0] / totals[:, 2], totals[:, 1] / totals[:, 2]])


def _scores(model: str, language: str, figures: npt.NDArray[np.float64], items: int) -> list[Score]:
    per_byte, unigram = figures
    gain = 100 * (1 - per_byte / unigram)
    scores = []
    for metric, values, baseline in (
        ("bits_per_byte", per_byte, float(unigram[0])),
        ("gain_over_unigram_percent", gain, 0.0),
    ):
        low, high = percentile_interval(values[1:])
        scores.append(
            Score(model, SUITE, metric, language, float(values[0]), low, high, items, baseline)
        )
    return scores
