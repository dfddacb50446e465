"""fastText's prediction for many texts at once: the arithmetic of `fasttext`, without its calls.

In: a model's arrays and a flat buffer of texts. Out: the probability of every label. A word's
vector is the sum of its rows (itself, and its character n-grams by their FNV hash); a text's is the
mean over its words and the end mark; labels follow by a Huffman tree, a softmax or sigmoids
(Joulin et al., arXiv 1607.01759; hashing and order of sums as in `dictionary.cc` and `model.cc`).
The library itself is what the tests compare with.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polylm_core.characters import SEPARATOR, Bytes, Offsets, decode_at
from polylm_core.fasttext_file import FastTextModel
from polylm_core.hashing import byte_hash, set_size
from polylm_core.kernels import kernel

END_MARK = b"</s>"
MOST_SKIPPED_BYTES = 64
"""A window inside a text begins at a word if one begins within so many bytes."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Arrays(NamedTuple):
    """A model as the kernel takes it."""

    min_ngram: int
    max_ngram: int
    row_of_bucket: Ints
    input: Floats
    output: Floats
    word_keys: npt.NDArray[np.uint64]
    """Hash set of the words; `word_rows` holds their rows, -1 where a place is free."""
    word_rows: Ints
    end_row: int
    """Row of the end mark, -1 if the model has none."""
    is_tree: bool
    is_softmax: bool
    left: Ints
    right: Ints
    """Children of each node of the label tree (leaves first, the root last), -1 for leaves."""


def arrays_of(model: FastTextModel) -> Arrays:
    """Prepare a model for `label_probabilities`."""
    keys = np.zeros(set_size(len(model.words)), np.uint64)
    rows = np.full(len(keys), -1, np.int32)
    for row, word in enumerate(model.words):
        data = np.frombuffer(word, np.uint8)
        place = int(byte_hash(data, 0, len(data))) & (len(keys) - 1)
        while rows[place] >= 0:
            place = (place + 1) & (len(keys) - 1)
        keys[place], rows[place] = byte_hash(data, 0, len(data)), row
    left, right = _label_tree(model.label_counts)
    return Arrays(
        model.min_ngram,
        model.max_ngram,
        model.row_of_bucket,
        model.input,
        model.output,
        keys,
        rows,
        model.words.index(END_MARK) if END_MARK in model.words else -1,
        model.loss == "hs",
        model.loss == "softmax",
        left,
        right,
    )


def _label_tree(counts: tuple[int, ...]) -> tuple[Ints, Ints]:
    """The Huffman tree of the labels, which are in order of falling counts."""
    leaves = len(counts)
    nodes = 2 * leaves - 1
    weights = [*counts, *([10**15] * (leaves - 1))]
    left, right = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, nodes):
        children = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children.append(leaf)
                leaf -= 1
            else:
                children.append(node)
                node += 1
        left[parent], right[parent] = children
        weights[parent] = weights[children[0]] + weights[children[1]]
    return left, right


@kernel
def label_probabilities(
    values: Bytes,
    starts: Offsets,
    ends: Offsets,
    properties: Bytes,
    max_characters: int,
    windows: int,
    model: Arrays,
) -> Floats:
    """Probabilities of the labels, float32[texts, labels].

    Of each of so many equal windows of a text the first `max_characters / windows` letters and
    spaces between words are looked at, together; whatever is no letter ends a word. A text of at
    most twice as many bytes is looked at as a whole, unless there is one window.
    """
    texts, dim = len(starts), model.input.shape[1]
    probabilities = np.zeros((texts, model.output.shape[0]), np.float32)
    hidden = np.zeros(dim, np.float32)
    buffer = np.empty(4 * max_characters + 8, np.uint8)
    scores = np.zeros(len(model.left), np.float32)
    most = max(max_characters // windows, 1)
    for text in range(texts):
        hidden[:] = 0
        rows = 0
        first, length = starts[text], ends[text] - starts[text]
        whole = windows > 1 and length <= 2 * max_characters
        for window in range(1 if whole else windows):
            start, end = first, first + length
            if not whole:
                start = first + length * window // windows
                end = first + length * (window + 1) // windows
                if window:
                    start = _after_break(values, start, end)
            limit = length + 1 if whole else most
            rows += _add_words(values, start, end, properties, limit, buffer, model, hidden)
        if model.end_row >= 0:
            hidden += model.input[model.end_row]
            rows += 1
        if rows:
            hidden *= np.float32(1.0 / rows)
            _score(hidden, model, scores, probabilities[text])
    return probabilities


@kernel
def _after_break(values: Bytes, start: int, end: int) -> int:
    """The next character after a space, or at least the next character, of a window in a text."""
    for position in range(start, min(end, start + MOST_SKIPPED_BYTES)):
        if values[position] == 32 or values[position] == 10:
            return position + 1
    while start < end and values[start] & 0xC0 == 0x80:
        start += 1
    return start


@kernel
def _add_words(
    values: Bytes,
    start: int,
    end: int,
    properties: Bytes,
    max_characters: int,
    buffer: Bytes,
    model: Arrays,
    hidden: Floats,
) -> int:
    """Add the rows of the words of a window; returns how many."""
    rows = characters = size = 0
    position = start
    while position <= end and characters < max_characters:
        is_break, following = True, position + 1
        if position < end:
            point, following = decode_at(values, position)
            # Brackets of Han and Kana text stay: they tell Japanese from Chinese.
            is_separator = (properties[point] & SEPARATOR) != 0 and point < 0x3005
            is_break = is_separator or 48 <= point <= 57
        if not is_break and following <= len(values):
            for offset in range(following - position):
                buffer[1 + size + offset] = values[position + offset]
            size += following - position
            characters += 1
        if size and (is_break or characters == max_characters):
            rows += _add_word(buffer, size, model, hidden)
            size = 0
            characters += 1
        position = following
    return rows


@kernel
def _add_word(buffer: Bytes, size: int, model: Arrays, hidden: Floats) -> int:
    """Add the rows of the word in `buffer[1:1 + size]`; returns how many."""
    rows, dim = 0, len(hidden)
    place = byte_hash(buffer, 1, 1 + size) & np.uint64(len(model.word_keys) - 1)
    wanted = byte_hash(buffer, 1, 1 + size)
    while model.word_rows[place] >= 0:
        if model.word_keys[place] == wanted:
            row = model.word_rows[place]
            for column in range(dim):
                hidden[column] += model.input[row, column]
            rows += 1
            break
        place = (place + np.uint64(1)) & np.uint64(len(model.word_keys) - 1)
    buffer[0], buffer[size + 1] = 60, 62  # < and > around the word
    length, buckets = size + 2, np.uint32(len(model.row_of_bucket))
    for first in range(length):
        if buffer[first] & 0xC0 == 0x80:
            continue
        hashed = np.uint32(2166136261)
        position = first
        for num in range(1, model.max_ngram + 1):
            if position >= length:
                break
            while True:
                byte = np.uint32(buffer[position])
                if byte >= 128:  # fastText hashes signed bytes
                    byte |= np.uint32(0xFFFFFF00)
                hashed = np.uint32((hashed ^ byte) * np.uint32(16777619))
                position += 1
                if position >= length or buffer[position] & 0xC0 != 0x80:
                    break
            if num < model.min_ngram or (num == 1 and (first == 0 or position == length)):
                continue
            row = model.row_of_bucket[hashed % buckets]
            if row >= 0:
                for column in range(dim):
                    hidden[column] += model.input[row, column]
                rows += 1
    return rows


@kernel
def _score(hidden: Floats, model: Arrays, scores: Floats, out: Floats) -> None:
    labels = len(out)
    if not model.is_tree:
        _score_flat(hidden, model, out)
        return
    scores[len(scores) - 1] = 0.0
    for node in range(len(scores) - 1, labels - 1, -1):
        product = np.float32(0.0)
        for column in range(len(hidden)):
            product += hidden[column] * model.output[node - labels, column]
        chance = 1.0 / (1.0 + math.exp(-product))
        # fastText adds 1e-5 before it takes a logarithm.
        scores[model.left[node]] = scores[node] + math.log(1.0 - chance + 1e-5)
        scores[model.right[node]] = scores[node] + math.log(chance + 1e-5)
    for label in range(labels):
        out[label] = math.exp(scores[label])


@kernel
def _score_flat(hidden: Floats, model: Arrays, out: Floats) -> None:
    highest = np.float32(-np.inf)
    for label in range(len(out)):
        product = np.float32(0.0)
        for column in range(len(hidden)):
            product += hidden[column] * model.output[label, column]
        out[label] = product
        highest = max(highest, product)
    total = np.float32(0.0)
    for label in range(len(out)):
        if model.is_softmax:
            out[label] = math.exp(out[label] - highest)
            total += out[label]
        else:
            out[label] = 1.0 / (1.0 + math.exp(-out[label]))
    if model.is_softmax:
        out /= total
