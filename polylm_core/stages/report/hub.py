"""What the Hugging Face hub asks of a card: metadata in its own words, checked by its library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

from polylm_core.languages import UNDETERMINED, get_language
from polylm_core.stages.report import metrics
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0
    epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by
    ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unknown unlicense wtfpl zlib
    """.split()
)
"""Licences by the hub's identifiers (its documentation, "Licenses"); any other is `other`."""


def license_fields(name: str) -> dict[str, Any]:
    """A licence as the hub's metadata has it: its identifier, or `other` with its name."""
    known = name.lower()
    return {"license": known} if known in LICENSES else {"license": "other", "license_name": known}


def languages_of(codes: Sequence[str]) -> list[str]:
    """The hub's names of languages: without scripts, so `zh` and not `zh-Hans`; each once."""
    tags = (get_language(code).bcp47 for code in codes if code != UNDETERMINED)
    return list(dict.fromkeys(tag.split("-")[0] for tag in tags))


def model_metadata(config: ReportConfig, material: Material, languages: Sequence[str]) -> str:
    """The metadata of the chat model's card, as YAML."""
    data = ModelCardData(
        language=languages_of(languages),
        **license_fields(config.model_license),
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["multilingual", "instruction-tuned", "polylm"],
        datasets=material.hub_datasets or None,
        base_model=material.hub_base,
        model_name=config.model_name,
        eval_results=[_result(row) for row in material.scores if _is_told(row)],
    )
    return str(data.to_yaml())


def _is_told(row: Row) -> bool:
    """The chat model's scores over all languages; of published sets those of each."""
    return row["model"] == "chat" and (row["language"] == "" or row["suite"] not in metrics.SUITES)


def _result(row: Row) -> EvalResult:
    language = row["language"]
    name = metrics.suite_name(row["suite"])
    return EvalResult(
        task_type="text-generation",
        dataset_type=row["suite"],
        dataset_name=name if row["suite"] not in metrics.SUITES else f"{name} (held-out text)",
        dataset_config=language or None,
        metric_type=row["metric"],
        metric_name=metrics.metric(row).label,
        metric_value=round(row["value"], 4),
    )


def data_metadata(name: str, license_name: str, codes: Sequence[str], *, pairs: bool) -> str:
    """The metadata of a source's card, as YAML."""
    tags = languages_of(codes)
    data = DatasetCardData(
        language=tags or None,
        **license_fields(license_name),
        pretty_name=name,
        multilinguality=["multilingual" if len(tags) > 1 else "monolingual"],
        task_categories=["text-generation", *(["translation"] if pairs else [])],
    )
    return str(data.to_yaml())
