"""Artifacts of a whole run with made-up figures, for the tests of `report`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from polylm_core.artifacts import (
    A,
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    DocumentSet,
    InstructionSet,
    Mixture,
    Report,
    Scores,
    ShardSet,
    Tokenizer,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.languages import POLYLM_LANGUAGES, get_language
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Inputs
from polylm_core.stages.report.stage import report
from tests.support import make_run
from tests.unit.stages.report_text import (
    DECLARED,
    DOCUMENT_COUNTS,
    FOREIGN,
    SENTENCES,
    Rows,
    wave,
    write,
    write_shards,
    write_sources,
)


def _tokenizer(folder: Path) -> None:
    rows = [
        {
            "language": code,
            "bytes": 40000,
            "tokens": int(40000 / wave(n, 3, 5)),
            "words": 7000,
            "tokens_per_word": wave(n, 1.4, 2.9),
            "bytes_per_token": wave(n, 3, 5),
            "byte_fallback_share": wave(n, 0, 0.02),
            "parity": 1.0 if code == "eng_Latn" else wave(n, 1.1, 2.1),
        }
        for n, code in enumerate(POLYLM_LANGUAGES)
    ]
    write(folder / "fertility.parquet", rows)


def _mixture(folder: Path) -> None:
    stages = []
    for name, english, pairs in (("base", 0.68, 0.02), ("multilingual", 0.36, 0.1)):
        streams = {"eng_Latn": {"tokens": int(1e6 * english), "epochs": 1.31}}
        for code in FOREIGN:
            rest = {"tokens": int(1e6 * (1 - english - pairs) / 17), "epochs": 0.21}
            streams |= {code: rest}
            streams |= {f"eng_Latn-{code}": {"tokens": int(1e6 * pairs / 17), "epochs": 0.07}}
        stages.append({"name": name, "tokens": 1000000, "streams": streams})
    (folder / "mixture.json").write_text(json.dumps({"stages": stages}))


def _model(folder: Path, steps: int, first: float, last: float) -> None:
    save_file({"wte": np.zeros((80, 16), np.float32)}, folder / "model.safetensors")
    rows: Rows = []
    for step in range(1, steps + 1):
        loss = last + (first - last) * math.exp(-4 * step / steps) + 0.05 * math.sin(step)
        rate = 0.004 * min(step / 25, 0.55 + 0.45 * math.cos(math.pi * step / steps))
        rows += [
            {"step": step, "metric": "loss", "language": "", "value": loss},
            {"step": step, "metric": "learning_rate", "language": "", "value": rate},
        ]
    for step in range(100, steps + 1, 100):
        rows += [
            {
                "step": step,
                "metric": "bits_per_byte",
                "language": code,
                "value": wave(n, 1.6, 2.6) + 3 * math.exp(-3 * step / steps),
            }
            for n, code in enumerate(POLYLM_LANGUAGES)
        ]
    write(folder / "curves.parquet", rows)


def _instructions(folder: Path) -> None:
    taught = ("eng_Latn", "spa_Latn", "fra_Latn", "deu_Latn")
    rows = [
        _end("self-instruct", code, number, reason, 2 + n + m)
        for n, code in enumerate(taught)
        for number in (1, 2)
        for m, reason in enumerate(("kept", "malformed", "not-new", "other-language"))
    ]
    rows += [
        _end("cross-lingual", code, 0, reason, count)
        for code in FOREIGN
        for reason, count in (("kept", 240), ("over-the-cap", 9000), ("unsuitable", 300))
    ]
    write(folder / "funnel.parquet", rows)
    measures = {"tasks checked": 40, "lines checked": 80, "lines in the language": 60}
    measures |= {"words checked": 500, "words in the script": 499, "tasks with personal data": 3}
    write(
        folder / "measures.parquet",
        [
            {"origin": "self-instruct", "language": code, "measure": measure, "count": count}
            for code in taught
            for measure, count in measures.items()
        ],
    )


def _end(origin: str, language: str, number: int, reason: str, count: int) -> dict[str, Any]:
    return {
        "origin": origin,
        "language": language,
        "round": number,
        "reason": reason,
        "count": count,
    }


Figure = Callable[[int], tuple[float, float, float | None]]  # value, half interval, baseline


def _scored(
    model: str, suite: str, metric: str, codes: tuple[str, ...], figure: Figure, items: int = 12
) -> Rows:
    rows = []
    for n, code in enumerate(("", *codes)):
        value, half, baseline = figure(n)
        rows.append(
            {
                "model": model,
                "suite": suite,
                "metric": metric,
                "language": code,
                "value": value,
                "low": max(0.0, value - half),
                "high": value + half,
                "items": items,
                "baseline": baseline,
            }
        )
    return rows


def _bits(shift: float) -> Figure:
    return lambda n: (wave(n, 1.7, 2.5) + shift, 0.12, wave(n, 3.1, 3.9))


def _chrf(top: float) -> Figure:
    return lambda n: (wave(n, 9, top), 4.0, wave(n + 1, 3, 24))


def _constant(value: float) -> Figure:
    return lambda n: (value, 0.03, None)


def _score_rows(worse_bits: float) -> Rows:
    every, bits, answers = POLYLM_LANGUAGES, "bits_per_byte", "answers"
    rows: Rows = []
    for model, shift in (("base", worse_bits), ("chat", 0.18)):
        rows += _scored(model, bits, bits, every, _bits(shift))
        rows += _scored(
            model, bits, "gain_over_unigram_percent", every, lambda n: (wave(n, 30, 46), 3, 0)
        )
    for direction, top in (("from_english", 31), ("into_english", 24)):
        rows += _scored("chat", "translation", f"chrf_{direction}", FOREIGN, _chrf(top))
        rows += _scored(
            "chat", "translation", f"bleu_{direction}", FOREIGN, lambda n: (wave(n, 0, 8), 2, 1)
        )
    rows += _scored(
        "chat", answers, "in_language_share", every, lambda n: (wave(n, 0.5, 0.8), 0.15, None)
    )
    for metric, value in (
        ("stopped_share", 0.95),
        ("identical_share", 0.04),
        ("median_answer_tokens", 11.0),
    ):
        rows += _scored("chat", answers, metric, every, _constant(value))
    for metric in ("acc", "acc_norm"):
        rows += _scored(
            "base", "translation_choice", metric, FOREIGN, lambda n: (wave(n, 0.2, 0.6), 0.2, 0.25)
        )
    return rows


HIDDEN = "NOT SHOWN"  # the second answer of each language


def _scores(folder: Path, worse_bits: float) -> None:
    write(folder / "scores.parquet", _score_rows(worse_bits))
    answers = [
        {
            "id": f"held-out/{code}/{n}",
            "language": code,
            "prompt_language": "eng_Latn",
            "prompt": f"Translate into {get_language(code).english_name}: <b>Save</b> & close",
            "reference": SENTENCES[code],
            "answer": SENTENCES[code] if n == 0 else HIDDEN,
            "stopped": n == 0,
            "identified_label": "de",
            "in_language": n == 0,
        }
        for code in POLYLM_LANGUAGES
        for n in range(2)
    ]
    write(folder / "predictions/answers.parquet", answers)


def _publish(
    kind: type[A],
    out: Path,
    write: Callable[[Path], object],
    *inputs: Artifact,
    counts: Mapping[str, object] = MappingProxyType({}),
    params: Mapping[str, object] = MappingProxyType({}),
) -> A:
    partial = partial_folder(out)
    write(partial)
    prints = {artifact.stage: artifact.fingerprint for artifact in inputs}
    return publish(kind, partial, out, inputs=prints, params=params, counts=counts)


def make_inputs(
    folder: Path,
    *,
    worse_bits: float = 0.0,
    base_params: Mapping[str, object] = MappingProxyType({}),
    score_params: Mapping[str, object] = MappingProxyType({}),
) -> Inputs:
    """Artifacts that belong together, with made-up figures."""
    documents = _publish(
        DocumentSet, folder / "01_documents", lambda path: None,
        counts=DOCUMENT_COUNTS, params={"sources": DECLARED},
    )  # fmt: skip
    shards = _publish(ShardSet, folder / "02_shards", write_shards, documents)
    tokenizer = _publish(Tokenizer, folder / "03_tokenizer", _tokenizer, shards)
    tokens = _publish(TokenSet, folder / "04_tokens", lambda path: None, shards, tokenizer)
    mixture = _publish(Mixture, folder / "05_mixture", _mixture, tokens)
    base = _publish(
        BaseModelFolder, folder / "06_base", lambda path: _model(path, 500, 9.0, 3.4),
        tokenizer, tokens, mixture,
        params={
            "validation_tokens_per_language": 4096, "model": {"context_tokens": 256}, **base_params,
        },
    )  # fmt: skip
    instructions = _publish(InstructionSet, folder / "07_instructions", _instructions, shards)
    chat = _publish(
        ChatModelFolder, folder / "08_chat", lambda path: _model(path, 90, 4.0, 2.6),
        base, instructions,
    )  # fmt: skip
    scores = _publish(
        Scores, folder / "09_scores", lambda path: _scores(path, worse_bits),
        base, chat, shards, instructions,
        params={
            "languages": list(POLYLM_LANGUAGES),
            "compression": {"max_bytes_per_language": 12000, "max_bytes_per_document": 1200},
            **score_params,
        },
    )  # fmt: skip
    return Inputs(documents, shards, tokenizer, tokens, mixture, base, instructions, chat, scores)


CONFIG = ReportConfig(
    model_name="polylm-laptop",
    model_license="apache-2.0",
    domain="software documentation and interface text",
    domain_warning="It is a demonstration, not a model to rely on.",
    samples_per_language=1,
)


def run_stage(inputs: Inputs, folder: Path) -> Report:
    run = make_run(folder, languages=POLYLM_LANGUAGES, name="10_report")
    return report(
        CONFIG, inputs.documents, inputs.shards, inputs.tokenizer, inputs.tokens, inputs.mixture,
        inputs.base, inputs.instructions, inputs.chat, inputs.scores,
        write_sources(folder / "sources"), run,
    )  # fmt: skip
