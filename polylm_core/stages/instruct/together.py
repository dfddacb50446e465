"""What can only be judged of the tasks of all languages together, once they are written.

Near duplicates whatever their languages: a teacher answers one seed in two languages with the same
code, or in English twice. And tasks that share text with what was held out, or with the recipe's
evaluation sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.characters import Texts, from_strings
from polylm_core.contamination import REASON as CONTAMINATED
from polylm_core.contamination import build_index
from polylm_core.evaluation_text import evaluation_texts, held_out_texts
from polylm_core.minhash import jaccard, shingles, signatures
from polylm_core.records import Instruction
from polylm_core.stages.instruct.config import HeldOutTextConfig, NearTasksConfig, TogetherConfig
from polylm_core.stages.instruct.selection import Harvest
from polylm_core.tokens import tokenise

NEAR_DUPLICATE = "near-duplicate"
BATCH_LINES = 10_000


def sift_together(
    harvest: Harvest, checks: TogetherConfig, documents: DocumentSet, shards: ShardSet
) -> Harvest:
    """The harvest without near duplicates and without tasks that give an evaluation away.

    Of near duplicates the first stays; the funnel counts the others and the contaminated.
    """
    rows = harvest.instructions
    dropped: dict[int, str] = {}
    if checks.held_out_text is not None:
        given_away = contaminated(rows, checks.held_out_text, documents, shards)
        dropped |= dict.fromkeys(given_away, CONTAMINATED)
    if checks.near_duplicates is not None:
        left = [number for number in range(len(rows)) if number not in dropped]
        near = near_duplicates([rows[number] for number in left], checks.near_duplicates)
        dropped |= {left[place]: NEAR_DUPLICATE for place in near}
    sifted = Harvest()
    sifted.add(harvest)
    sifted.drop(dropped)
    return sifted


def near_duplicates(rows: Sequence[Instruction], config: NearTasksConfig) -> list[int]:
    """The numbers of the tasks that nearly equal one that stays and comes before them."""
    texts = from_strings(["\n".join(_contents(row)) for row in rows])
    tokens = tokenise(texts, are_words=False)
    hashed, offsets = shingles(tokens, config.shingle_characters)
    _, keys = signatures(hashed, offsets, bands=config.bands, rows=config.rows)
    sets = [np.unique(hashed[start:end]) for start, end in pairwise(offsets)]
    buckets: dict[tuple[int, int], list[int]] = {}
    found = []
    for number, own in enumerate(keys.tolist()):
        places = list(enumerate(own))
        candidates = sorted({other for place in places for other in buckets.get(place, ())})
        if any(jaccard(sets[other], sets[number]) >= config.min_jaccard for other in candidates):
            found.append(number)
        else:
            for place in places:
                buckets.setdefault(place, []).append(number)
    return found


def contaminated(
    rows: Sequence[Instruction],
    config: HeldOutTextConfig,
    documents: DocumentSet,
    shards: ShardSet,
) -> Iterator[int]:
    """The numbers of the tasks with a line that shares text to evaluate on, of their language."""
    numbers: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(row.language, []).append(number)
    for language, own in numbers.items():
        texts = chain(
            held_out_texts(shards.path / "held_out", language),
            evaluation_texts(
                _parts(documents, "evaluation/documents/"),
                _parts(documents, "evaluation/pairs/"),
                language,
            ),
        )
        index = build_index(
            language,
            _batches(_long_lines(chain.from_iterable(texts), config.min_line_letters)),
            ngram_words=config.ngram_words,
            ngram_characters=config.ngram_characters,
        )
        for number in own:
            if index.contaminated(from_strings(["\n".join(_contents(rows[number]))])).any():
                yield number


def _long_lines(texts: Iterable[str], min_letters: int) -> Iterator[str]:
    for text in texts:
        for line in text.splitlines():
            if sum(map(str.isalpha, line)) >= min_letters:
                yield line


def _parts(documents: DocumentSet, folder: str) -> list[Path]:
    names = sorted(name for name in documents.manifest.files if name.startswith(folder))
    return [documents.path / name for name in names]


def _batches(lines: Iterator[str]) -> Iterator[Texts]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH_LINES:
            yield from_strings(batch)
            batch = []
    if batch:
        yield from_strings(batch)


def _contents(row: Instruction) -> list[str]:
    return [message.content for message in row.messages]
