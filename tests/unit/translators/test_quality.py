"""There and back again, scored as sacrebleu's command does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from polylm_core.translators.quality import compare, round_trip, sample_of
from tests.unit.translators.doubles import Double
from tests.unit.translators.test_bureau import make_bureau

PAIRS = [
    ("The house has a large garden behind it.", "The house has a big garden behind it."),
    ("Where is the river?", "Where is the river?"),
    ("Nobody knew the answer to that\nquestion.", "No one knew an answer to this question."),
]


def test_the_scores_are_those_of_sacrebleu_s_command(tmp_path: Path) -> None:
    sides = [[" ".join(text.split()) for text in side] for side in zip(*PAIRS, strict=True)]
    files = [tmp_path / "reference", tmp_path / "hypothesis"]
    for file, lines in zip(files, sides, strict=True):
        file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "sacrebleu", str(files[0]), "-i", str(files[1]), "-w", "2"]
    command += ["-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = [row["score"] for row in json.loads(done.stdout)]
    made = compare(PAIRS, "eng_Latn", "spa_Latn", texts="seed tasks", refused=1)
    assert [made.bleu, made.chrf_plus_plus, made.ter] == expected
    assert (made.language, made.samples, made.refused, made.tokenizer) == ("spa_Latn", 3, 1, "13a")


def test_a_perfect_journey_scores_full_and_an_empty_one_nothing() -> None:
    for source, text in (
        ("zho_Hans", "从这里可以看到房子和花园"),
        ("jpn_Jpan", "ここから家が見える"),
    ):
        made = compare([(text, text)], source, "eng_Latn", texts="x", refused=0)
        assert (made.bleu, made.chrf_plus_plus, made.ter) == (100.0, 100.0, 0.0)
        assert made.tokenizer == ("zh" if source == "zho_Hans" else "char")
    assert compare([], "eng_Latn", "spa_Latn", texts="seed tasks", refused=2).row() == {
        "texts": "seed tasks",
        "language": "spa_Latn",
        "samples": 0,
        "refused": 2,
        "bleu": 0.0,
        "chrf_plus_plus": 0.0,
        "ter": 0.0,
        "tokenizer": "13a",
    }


def test_a_sample_is_drawn_by_the_seed_among_texts_with_words() -> None:
    texts = [f"text {number}" for number in range(50)] + ["1 + 1", ""]
    sample = sample_of(texts, 7, 10)
    assert len(sample) == 10
    assert sample == sample_of(list(reversed(texts)), 7, 10)
    assert sample != sample_of(texts, 8, 10)
    assert sample == sample_of(texts, 7, 20)[:10]
    assert len(sample_of(texts, 7, 99)) == 50


def test_a_sample_is_translated_back_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    def back(text: str) -> str:
        return "" if "NO" in text else text.lower()

    known = {text: text.upper() for text in ("yes we do", "no we do not", "see you there soon")}
    double = Double(back)
    bureau = make_bureau(tmp_path, double, round_trip_samples=3)
    made = round_trip(bureau, known, "eng_Latn", "spa_Latn", texts="x", seed=7)
    assert sorted(double.asked) == ["NO WE DO NOT", "SEE YOU THERE SOON", "YES WE DO"]
    assert (made.samples, made.refused, made.chrf_plus_plus) == (2, 1, 100.0)
    few = make_bureau(tmp_path, Double(back), round_trip_samples=1)
    made = round_trip(few, known, "eng_Latn", "spa_Latn", texts="x", seed=7)
    assert made.samples + made.refused == 1
