"""ARPA files and KenLM binaries, read and written, against what KenLM itself says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from polylm_core.errors import SourceError
from polylm_core.ngram_model.arpa import read_arpa, write_arpa
from polylm_core.ngram_model.model import NgramModel, flatten
from tests.unit.ngram_model.reference import DATA, ReferenceModel

SCORES: dict[str, dict[str, float]] = json.loads((DATA / "scores.json").read_text())


@pytest.mark.parametrize("file", ["lmplz.arpa", "lmplz.klm", "pruned.arpa"])
def test_scores_are_those_of_kenlm(file: str) -> None:
    model = NgramModel.load(DATA / file, "tokens")
    expected = SCORES[file.replace(".klm", ".arpa")]

    sums, counts = model.log10_flat(*flatten(list(expected)))

    assert sums == pytest.approx(list(expected.values()), abs=2e-5)
    assert counts.tolist() == [len(sentence.split()) + 1 for sentence in expected]


def test_the_plain_reference_agrees_with_kenlm() -> None:
    for file, expected in SCORES.items():
        reference = ReferenceModel(read_arpa(DATA / file))
        for sentence, score in expected.items():
            assert reference.log10([sentence.split()]) == pytest.approx(score, abs=2e-5)


def test_a_text_of_lines_is_scored_line_by_line() -> None:
    model = NgramModel.load(DATA / "lmplz.arpa", "tokens")
    first, second = list(SCORES["lmplz.arpa"].items())[:2]

    sums, counts = model.log10_flat(*flatten([f"\n {first[0]}\t \n\n{second[0]}\n"]))

    assert sums[0] == pytest.approx(first[1] + second[1], abs=2e-5)
    assert counts[0] == len(first[0].split()) + len(second[0].split()) + 2


def test_a_text_without_words_scores_worst() -> None:
    model = NgramModel.load(DATA / "lmplz.arpa", "tokens")

    scores = model.score(["", " \n\t", "the cat sat ."])

    assert scores[:2].tolist() == [-np.inf, -np.inf]
    assert -1 < scores[2] < 0


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    packed = tmp_path / "model.arpa.gz"
    packed.write_bytes(gzip.compress((DATA / "lmplz.arpa").read_bytes()))
    sentence = ["the cat sat on the mat ."]

    plain = NgramModel.load(DATA / "lmplz.arpa", "tokens").score(sentence)

    assert NgramModel.load(packed, "tokens").score(sentence) == plain


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    ngrams = read_arpa(DATA / "lmplz.arpa")
    (tmp_path / "again.arpa").write_bytes(b"".join(write_arpa(ngrams)))

    again = read_arpa(tmp_path / "again.arpa")

    assert again.words == ngrams.words
    for one, other in zip(again.orders, ngrams.orders, strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.log10, other.log10)
        assert np.array_equal(one.backoff, other.backoff)


def test_tables_have_the_bytes_that_kenlm_writes(tmp_path: Path) -> None:
    ours = bytes(NgramModel.load(DATA / "lmplz.arpa", "tokens").to_kenlm())
    theirs = (DATA / "lmplz.klm").read_bytes()[: len(ours)]

    words = np.frombuffer(ours, np.uint32), np.frombuffer(theirs, np.uint32)
    different = np.flatnonzero(words[0] != words[1])

    # Whether the words themselves follow the tables, and the sign of <s>'s 0, which nothing asks.
    assert different.tolist() == [25, 263]
    (tmp_path / "ours.klm").write_bytes(ours)
    sentences = list(SCORES["lmplz.arpa"])
    again = NgramModel.load(tmp_path / "ours.klm", "tokens").score(sentences)
    assert np.array_equal(again, NgramModel.load(DATA / "lmplz.klm", "tokens").score(sentences))


def test_a_model_without_unknown_word_gets_kenlms_default(tmp_path: Path) -> None:
    text = (DATA / "pruned.arpa").read_text()
    text = text.replace("-1.5\t<unk>\n", "").replace("ngram 1=7", "ngram 1=6")
    (tmp_path / "closed.arpa").write_text(text)

    sums, _ = NgramModel.load(tmp_path / "closed.arpa", "tokens").log10_flat(*flatten(["zebra"]))

    assert sums[0] == pytest.approx(-0.3 - 100 - 0.9)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\end\\", "", "cut short"),
        ("ngram 2=6", "ngram 2=5", "expected"),
        ("ngram 2=6", "ngram 2=x", "ngram 2=1000"),
        ("ngram 2=6\n", "", "not 1, 2, 3"),
        ("-0.3\ton the", "-0.3\ton thy", "thy"),
        ("-0.3\ton the", "a\ton the", "number"),
        ("-0.3\ton the", "0.3\ton the", "more than 1"),
        ("-0.6\tmat </s>", "-0.6\tmat", "fields"),
        ("-0.3\ton the", "-0.3\t<s> on", "twice"),
        ("-0.1\ton the mat", "-0.1\tcat the mat", "begins with"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = (DATA / "pruned.arpa").read_text()
    assert old in text
    (tmp_path / "bad.arpa").write_text(text.replace(old, new))

    with pytest.raises(SourceError, match=r"bad\.arpa") as error:
        NgramModel.load(tmp_path / "bad.arpa", "tokens")

    assert said in str(error.value)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    packed = gzip.compress((DATA / "lmplz.arpa").read_bytes())
    (tmp_path / "bad.gz").write_bytes(packed[:900])

    with pytest.raises(SourceError, match=r"bad\.gz: damaged gzip"):
        NgramModel.load(tmp_path / "bad.gz", "tokens")


def test_other_kenlm_binaries_are_refused_by_name(tmp_path: Path) -> None:
    short = tmp_path / "short.klm"
    short.write_bytes((DATA / "lmplz.klm").read_bytes()[:2000])
    broken = tmp_path / "broken.klm"
    broken.write_bytes(b"mmap lm http://kheafield.com/code incomplete\n")

    with pytest.raises(SourceError, match=r"trie\.klm: its tables are of kind 2"):
        NgramModel.load(DATA / "trie.klm", "tokens")
    with pytest.raises(SourceError, match=r"short\.klm: 2000 bytes, where its header asks for"):
        NgramModel.load(short, "tokens")
    with pytest.raises(SourceError, match=r"broken\.klm: not a finished KenLM binary"):
        NgramModel.load(broken, "tokens")
    with pytest.raises(SourceError, match=r"none\.arpa"):
        NgramModel.load(tmp_path / "none.arpa", "tokens")
