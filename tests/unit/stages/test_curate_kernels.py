"""Every native kernel of curate gives what its plain form gives, on real and on hostile text."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from polylm_core import minhash
from polylm_core.characters import composed, from_arrow, from_strings
from polylm_core.hashing import hash_set, in_set, mixed_with
from polylm_core.languages import POLYLM_LANGUAGES, get_language
from polylm_core.stages.curate import repair
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds
from polylm_core.tokens import tokenise
from tests.unit.stages import curate_reference as reference
from tests.unit.stages.curate_inputs import article_texts

HOSTILE = (
    "",
    "\n",
    " \u200b\n\u00a0\n",
    "a\n\na\n\na",
    "x" * 60 + " " + "y" * 10,
    "一" * 80 + "A" * 60 + "二",
    "www.example.org\n(https://example.org/a)\nhttps://a b",
    "http:/x\nhttp://\nwww.",
    "... … ....\nend...\n• one\n- two\n\u2013 three",
    "#1 ## 2\r\n\tTabs\x07 and\ufeff marks\u2028more",
    "\U0001f600\U0001f600 \U0001f600",
    "e\u0301\u0323 \u1100\u1161 \u0e33",
    "same same same same same same same same same same same same",
)


def texts_of(language: str) -> list[str]:
    """Real paragraphs of a language, some of them joined, shortened and repeated; then the rest."""
    draw = random.Random(language)
    real = article_texts(language)
    whole = "\n".join(real)
    made = ["\n\n".join(draw.choices(real, k=6)), " ".join(draw.choices(whole.split(), k=80))]
    return [*real, whole, f"{whole}\n\n{whole}", *made, *HOSTILE]


@pytest.mark.parametrize("language", POLYLM_LANGUAGES)
def test_the_repair_is_the_plain_one(language: str) -> None:
    are_words = get_language(language).words == "spaces"
    texts = texts_of(language)
    english = [line for text in texts[:4] for line in text.split("\n")]
    clean = repair.repair(from_strings(composed(english)), are_words=True, max_word_characters=50)
    plain = {
        reference.repaired_line(line, are_words=True, max_word_characters=50)[0] for line in english
    }
    found = repair.repair(
        from_strings(composed(texts)),
        are_words=are_words,
        max_word_characters=50,
        english_lines=np.unique(Lines(clean.texts).hashes),
        min_copied_letters=20,
    )
    for number, text in enumerate(texts):
        kept, reasons, shares = reference.repair(
            text,
            are_words=are_words,
            max_word_characters=50,
            english=plain,
            min_copied_letters=20,
        )
        assert found.texts.text(number).split("\n") == (kept or [""]), text
        own = found.left_out[found.left_out[:, 0] == number]
        assert Counter(repair.REASONS[row[1]] for row in own) == Counter(reasons), text
        seen = {name: share[number] for name, share in found.shares.items()}
        assert seen == pytest.approx(shares)


@pytest.mark.parametrize("language", POLYLM_LANGUAGES)
def test_the_measures_are_the_plain_ones(language: str) -> None:
    are_words = get_language(language).words == "spaces"
    raw = from_strings(composed(texts_of(language)))
    texts, shares, _ = repair.repair(raw, are_words=are_words, max_word_characters=1000)
    words = reference.tokens_of(texts.text(0), are_words=True)
    stop_words = tuple({reference.wording(word) for word in words[:3]})
    config = RulesConfig(
        default=RuleThresholds(),
        by_language={language: {"characters_per_word": 3}},
        stop_words={language: stop_words},
    )
    judge = judge_of(get_language(language), config)
    found = judge.measures(texts, tokenise(texts, are_words=are_words), shares)
    for number in range(len(texts)):
        text = texts.text(number)
        expected = reference.measures(text, language, characters_per_word=3, stop_words=stop_words)
        seen = {name: found[name][number] for name in expected}
        assert seen == pytest.approx(expected), text


@pytest.mark.parametrize("language", ["eng_Latn", "arb_Arab", "tha_Thai", "jpn_Jpan"])
def test_signatures_estimate_the_similarity_of_the_shingles(language: str) -> None:
    are_words = get_language(language).words == "spaces"
    texts = [text for text in texts_of(language) if text]
    made = from_strings(texts)
    hashed, offsets = minhash.shingles(tokenise(made, are_words=are_words), 5)
    signatures, bands = minhash.signatures(hashed, offsets, bands=64, rows=4)
    sets = [np.unique(hashed[a:b]) for a, b in pairwise(offsets)]
    plain = [reference.shingles(text, 5, are_words=are_words) for text in texts]
    assert [len(each) for each in sets] == [len(each) for each in plain]
    for i in range(len(texts) - 1):
        exact = minhash.jaccard(sets[i], sets[i + 1])
        both = len(plain[i] & plain[i + 1]) / max(len(plain[i] | plain[i + 1]), 1)
        assert exact == pytest.approx(both)
        if sets[i].size and sets[i + 1].size:
            estimate = minhash.agreement(signatures[i], signatures[i + 1])
            assert estimate == pytest.approx(exact, abs=0.15)
    assert bands.shape == (len(texts), 64)


def test_a_text_without_words_has_no_shingles() -> None:
    hashed, offsets = minhash.shingles(tokenise(from_strings(["...", "a"]), are_words=True), 5)
    assert np.diff(offsets).tolist() == [0, 1]
    assert len(hashed) == 1


def test_lines_are_found_and_taken_out() -> None:
    lines = Lines(from_strings(["one\ntwo\nthree", "", "four"]))
    assert lines.documents.tolist() == [0, 0, 0, 2]
    assert lines.letters.tolist() == [3, 3, 5, 4]
    left = lines.without(np.array([True, False, True, True]))
    assert [left.text(number) for number in range(3)] == ["two", "", ""]


def test_a_set_of_hashes_holds_what_was_put_in() -> None:
    values = mixed_with(np.arange(1000, dtype=np.uint64), np.uint64(7))
    table = hash_set(values[:500])
    assert all(in_set(table, value) for value in values[:500])
    assert not any(in_set(table, value) for value in values[500:])


def test_texts_survive_the_way_through_one_buffer(tmp_path: Path) -> None:
    texts = ["", "ü", "日本\n語", "\U0001f600"]
    made = from_strings(texts)
    assert made.to_arrow().to_pylist() == texts
    assert from_arrow(made.to_arrow().slice(1, 2)).text(1) == "日本\n語"
    assert [made.take(np.array([3, 1])).text(n) for n in range(2)] == ["\U0001f600", "ü"]
