"""The report: what was built from what, how well it does, on one page that opens anywhere.

In: every artifact of a run, and the sources' descriptions. Out: `report.html`, which carries its
style, its data and the chart library with it; `README.md`, the model card of the Hugging Face hub;
and `data_cards/`, a card a source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polylm_core.artifacts import (
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
)
from polylm_core.languages import get_language
from polylm_core.stages.base import StageRun
from polylm_core.stages.report import (
    cards,
    curves,
    data_cards,
    hub,
    origins,
    rivals,
    score_tables,
    sections,
    summary,
    teaching,
)
from polylm_core.stages.report import scores as score_charts
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Inputs, Material, read_material
from polylm_core.stages.report.page import environment, render
from polylm_core.stages.report.timings import Timings
from polylm_core.storage import no_space_named

REPORT_FILE = "report.html"
CARD_FILE = "README.md"
CONTENTS = {
    "summary": "Summary",
    "languages": "Languages",
    "data": "Text",
    "vocabulary": "Vocabulary",
    "mixture": "Mixture",
    "training": "Training",
    "scores": "Scores",
    "instructions": "Instructions",
    "lineage": "Lineage",
}
"""The sections of the page by their ids."""


def report(
    config: ReportConfig,
    documents: DocumentSet,
    shards: ShardSet,
    tokenizer: Tokenizer,
    tokens: TokenSet,
    mixture: Mixture,
    base: BaseModelFolder,
    instructions: InstructionSet,
    chat: ChatModelFolder,
    scores: Scores,
    sources: Path,
    run: StageRun,
) -> Report:
    """Write the report; raises ArtifactError when an artifact lacks something or is of another run.

    No clock is in it: the same artifacts give the same bytes.
    """
    inputs = Inputs(documents, shards, tokenizer, tokens, mixture, base, instructions, chat, scores)
    material = read_material(inputs, run.languages)
    shared = _shared(config, material, run.languages)
    page = page_of(config, material, run.languages)
    card = environment().get_template("model_card.md.j2").render(**shared)
    about = data_cards.data_cards(material, documents, sources, run.source_locations)
    texts = {REPORT_FILE: page, CARD_FILE: card, **about}
    partial = partial_folder(run.out)
    _write(partial, texts)
    rows = [{"what": each.label, "value": each.value, "note": each.note}
            for each in shared["headlines"]]  # fmt: skip
    run.progress.table("report-summary", rows, "What the run came to")
    return run.publish(
        Report,
        partial,
        config,
        inputs={artifact.stage: artifact for artifact in inputs.all()},
        counts={row.label: row.value for row in shared["headlines"]},
    )


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    with no_space_named(folder):
        for name, text in texts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")


def page_of(
    config: ReportConfig,
    material: Material,
    languages: Sequence[str],
    timings: Timings | None = None,
) -> str:
    """The page as HTML; `timings` are those of the execution, which no artifact has."""
    shown = _shared(config, material, languages) | _page(config, material, languages)
    title = f"{config.model_name}: report"
    return render("report.html.j2", title, CONTENTS, shown | {"timings": timings})


def _shared(config: ReportConfig, material: Material, languages: Sequence[str]) -> dict[str, Any]:
    """What the page and the card share."""
    return {
        "config": config,
        "metadata": hub.model_metadata(config, material, languages),
        "languages": [get_language(code) for code in languages],
        "context_tokens": material.context_tokens,
        "adapter": material.adapter,
        "repetition_penalty": material.repetition_penalty,
        "headlines": summary.headlines(material, languages),
        "findings": summary.findings(material, languages, config),
        "sources": sections.sources(material),
        "source_names": [row["source"] for row in material.sources],
        "bits": score_charts.bits_per_byte(material, languages),
        "answers": score_charts.answers(material, languages),
        "choice": score_charts.choice(material, languages),
        "translation": score_charts.translation(material, languages),
        "benchmarks": score_tables.benchmarks(material),
        "lineage": origins.table(material.lineage),
    }


def _page(config: ReportConfig, material: Material, languages: Sequence[str]) -> dict[str, Any]:
    """What only the page shows."""
    return {
        "is_trained": material.is_trained,
        "is_of_others": material.is_continued or not material.is_trained,
        "overview": cards.overview(material, languages),
        "cards": cards.cards(material, languages, config.samples_per_language),
        "attrition": sections.attrition(material, languages),
        "pairs": sections.pairs(material, languages),
        "parity": sections.parity(material, languages),
        "bytes_per_token": sections.bytes_per_token(material, languages),
        "mixture": sections.mixture(material, languages),
        "loss": curves.loss(material),
        "learning_rate": curves.learning_rate(material),
        "bits_over_steps": curves.bits_over_steps(material, languages),
        "beside_published": rivals.beside_published(material),
        "orientation": rivals.orientation(),
        "rated": score_tables.rated(material),
        "contamination": score_tables.contamination(material),
        "confusions": score_tables.confusions(material),
        "confusion_rates": score_tables.confusion_rates(material),
        "why_they_differ": score_charts.why_they_differ(material),
        "funnel": sections.funnel(material),
        "rounds": teaching.rounds(material),
        "checks": teaching.checks(material),
        "origins": origins.origins(material.lineage),
    }
