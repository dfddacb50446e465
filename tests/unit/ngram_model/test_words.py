"""The words that the kernels see are those of the plain reference."""

from __future__ import annotations

import numpy as np
import pytest

from polylm_core.ngram_model import probing, stream
from polylm_core.ngram_model.folding import folding, split_lines
from polylm_core.ngram_model.model import NgramModel, flatten
from polylm_core.ngram_model.train import NgramTraining, train
from polylm_core.ngram_model.units import Unit
from tests.unit.ngram_model.reference import ReferenceModel

TEXTS = [
    "Straße 12, ДОМ №5: İstanbul — «Да»…\n\n\tλόγος; ٣٤ و ۷۸\r\nend",
    "สวัสดีครับ ราคา ๑๒๓ บาท",
    "日本語のテキスト。123年、カタカナ！\n中文，繁體",
    "हिन्दी में १२ शब्द और ज़ेड-डब्ल्यू-जे क्\u200dष",
    "soft\u00adhyphen and a\u00a0no-break space, emoji 😀😀 and 𐐀𐐨",
    "x" * 3000 + " " + "é" * 1500,
    "   ",
    "",
]


@pytest.mark.parametrize("unit", ["tokens", "words", "characters"])
def test_the_kernel_splits_and_folds_as_the_reference(unit: Unit) -> None:
    for text in TEXTS:
        data = np.frombuffer(text.encode(), np.uint8)
        numbers, words = stream.number_words(data, unit, folding())
        lines: list[list[str]] = []
        for number in numbers.tolist():
            if number == stream.BEGIN:
                lines.append([])
            elif number != stream.END:
                lines[-1].append(words[number - stream.FIRST_WORD].decode())

        expected = [
            [word if len(word) < 1000 else word[:3] for word in line]
            for line in split_lines(text, unit)
        ]
        assert [[w if len(w) < 500 else w[:3] for w in line] for line in lines] == expected


def test_case_digits_and_punctuation_are_folded_in_words() -> None:
    assert split_lines("Am 24. Mai, SOFORT!", "words") == [
        ["am", "00", ".", "mai", ",", "sofort", "!"]
    ]
    assert split_lines("Am 24. Mai", "tokens") == [["Am", "24.", "Mai"]]
    assert split_lines("丁 7。", "characters") == [["丁", "0", "。"]]


@pytest.mark.parametrize("unit", ["words", "characters"])
@pytest.mark.parametrize("order", [2, 3, 5])
def test_the_kernel_scores_as_the_reference(unit: Unit, order: int) -> None:
    ngrams = train(TEXTS[:5], NgramTraining(unit=unit, order=order))
    reference, model = ReferenceModel(ngrams), NgramModel.of(ngrams, unit)
    texts = [*TEXTS[:5], "λόγος 日本 Straße 77 ДОМ kein", "a-b-c\n字字字"]

    sums, counts = model.log10_flat(*flatten(texts))

    lines = [split_lines(text, unit) for text in texts]
    assert sums == pytest.approx([reference.log10(each) for each in lines], rel=1e-5)
    assert counts.tolist() == [sum(len(line) + 1 for line in each) for each in lines]


@pytest.mark.parametrize(
    ("word", "hashed"),
    [(b"", 0), (b"hello", 0x1E68D17C457BF117), (b"abcdefghijk", 0xFEFF07A18C726536)],
)
def test_words_are_hashed_by_murmur_64a(word: bytes, hashed: int) -> None:
    assert int(probing.murmur_of(np.frombuffer(word, np.uint8))) == hashed
