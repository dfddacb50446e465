"""The sets that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping

from polylm_core.stages.evaluate.benchmarks.benchmark_set import BenchmarkSet, Form, Metric
from polylm_core.stages.evaluate.benchmarks.catalogue_generation import GENERATION
from polylm_core.stages.evaluate.benchmarks.catalogue_translation import TRANSLATION
from polylm_core.stages.evaluate.benchmarks.catalogue_understanding import UNDERSTANDING

_XCOPA = BenchmarkSet(
    name="xcopa",
    title="XCOPA: which of two sentences is the cause, or the effect",
    source="Ponti et al. 2020, arXiv 2005.00333",
    license="CC-BY-4.0",
    languages={
        "est_Latn": "et", "hat_Latn": "ht", "ind_Latn": "id", "ita_Latn": "it", "quy_Latn": "qu",
        "swh_Latn": "sw", "tam_Taml": "ta", "tha_Thai": "th", "tur_Latn": "tr", "vie_Latn": "vi",
        "zho_Hans": "zh",
    },
    kind="options",
    task="lm_eval:xcopa/default_{language}.yaml",
    scored="test",
    metrics=(Metric("acc", "share", chance=1 / 2),),
    forms=(
        Form({"validation": "{language}/validation-*.parquet", "test": "{language}/test-*.parquet"},
             "parquet"),
        Form({"validation": "{language}/val.jsonl", "test": "{language}/test.jsonl"},
             "json lines"),
    ),
    hub="cambridgeltl/xcopa",
    revision="042f78955ba48e6404616762fa6e05e839c3907a",
)  # fmt: skip

_XWINOGRAD = BenchmarkSet(
    name="xwinograd",
    title="XWinograd: whom a pronoun means",
    source="Tikhonov and Ryabinin 2021, arXiv 2106.12066",
    license="CC-BY-4.0",
    languages={
        "eng_Latn": "en", "fra_Latn": "fr", "jpn_Jpan": "jp", "por_Latn": "pt", "rus_Cyrl": "ru",
        "zho_Hans": "zh",
    },
    kind="options",
    task="lm_eval:xwinograd/xwinograd_{language}.yaml",
    scored="test",
    metrics=(Metric("acc", "share", chance=1 / 2),),
    forms=(
        Form({"test": "test/{language}.jsonl"}, "json lines"),
        Form({"test": "dataset.tsv"}, "xwinograd table"),
    ),
    hub="Muennighoff/xwinograd",
    revision="90b619ef5278605cd4f572e3e8506ab16afd44f2",
)  # fmt: skip

_XQUAD = BenchmarkSet(
    name="xquad",
    title="XQuAD: a question about a paragraph",
    source="Artetxe et al. 2019, arXiv 1910.11856",
    license="CC-BY-SA-4.0",
    languages={
        "arb_Arab": "ar", "deu_Latn": "de", "ell_Grek": "el", "eng_Latn": "en", "spa_Latn": "es",
        "hin_Deva": "hi", "ron_Latn": "ro", "rus_Cyrl": "ru", "tha_Thai": "th", "tur_Latn": "tr",
        "vie_Latn": "vi", "zho_Hans": "zh",
    },
    kind="generation",
    task="xquad.yaml",
    scored="validation",
    metrics=(Metric("f1", "mean"), Metric("exact_match", "share")),
    forms=(
        Form({"validation": "xquad.{language}/validation-*.parquet"}, "parquet"),
        Form({"validation": "xquad.{language}.json"}, "squad"),
        Form({"validation": "xquad.{language}.json.xz"}, "squad"),
    ),
    hub="google/xquad",
    revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
)  # fmt: skip

SETS: Mapping[str, BenchmarkSet] = {
    found.name: found
    for found in (_XCOPA, _XWINOGRAD, _XQUAD, *UNDERSTANDING, *TRANSLATION, *GENERATION)
}
"""Every set by its name."""
