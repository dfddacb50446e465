"""The report: what was built from what, how well it does, on one page that opens anywhere.

In: every artifact of a run. Out: `report.html`, which carries its style, its data and the chart
library with it and may not load anything else (a content security policy sees to that), and
`model_card.md` for the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

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
from polylm_core.stages.report import curves, sections, summary, teaching
from polylm_core.stages.report import scores as score_charts
from polylm_core.stages.report.blocks import Table
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Inputs, Material, read_material
from polylm_core.storage import no_space_named

REPORT_FILE = "report.html"
CARD_FILE = "model_card.md"


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
    run: StageRun,
) -> Report:
    """Write the report; raises ArtifactError when an artifact lacks something or is of another run.

    No clock is in it: the same artifacts give the same bytes.
    """
    inputs = Inputs(documents, shards, tokenizer, tokens, mixture, base, instructions, chat, scores)
    material = read_material(inputs, run.languages)
    context = _context(config, material, run.languages)
    environment = _environment()
    page = environment.get_template("report.html.j2").render(
        **context, **_page(config, material, run.languages), plotly_js=get_plotlyjs()
    )
    card = environment.get_template("model_card.md.j2").render(**context)
    partial = partial_folder(run.out)
    with no_space_named(partial):
        (partial / REPORT_FILE).write_text(page, encoding="utf-8")
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
    shown = [
        {"what": row.label, "value": row.value, "note": row.note} for row in context["headlines"]
    ]
    run.progress.table("report-summary", shown, "What the run came to")
    return run.publish(
        Report,
        partial,
        config,
        inputs={artifact.stage: artifact for artifact in inputs.all()},
        counts={row.label: row.value for row in context["headlines"]},
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("polylm_core.stages.report"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["yaml"] = _yaml
    environment.filters["markdown"] = _markdown
    return environment


def _yaml(value: str) -> str:
    """A text as a YAML scalar: `no` is Norwegian, not false. JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _markdown(table: Table) -> str:
    """A table in Markdown, words to the left and figures to the right."""
    marks = [":--" if column in table.left else "--:" for column in range(len(table.head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.head, marks, *table.rows))


def _context(config: ReportConfig, material: Material, languages: Sequence[str]) -> dict[str, Any]:
    """What the page and the card share."""
    registered = [get_language(code) for code in languages]
    return {
        "config": config,
        "languages": registered,
        "hub_languages": list(dict.fromkeys(row.bcp47.split("-")[0] for row in registered)),
        "context_tokens": material.context_tokens,
        "repetition_penalty": material.repetition_penalty,
        "headlines": summary.headlines(material, languages),
        "findings": summary.findings(material, languages, config),
        "sources": sections.sources(material),
        "source_names": [row["source"] for row in material.sources],
        "bits": score_charts.bits_per_byte(material, languages),
        "answers": score_charts.answers(material, languages),
        "choice": score_charts.choice(material, languages),
        "translation": score_charts.translation(material, languages),
        "lineage": sections.lineage(material),
    }


def _page(config: ReportConfig, material: Material, languages: Sequence[str]) -> dict[str, Any]:
    """What only the page shows."""
    return {
        "attrition": sections.attrition(material, languages),
        "pairs": sections.pairs(material, languages),
        "parity": sections.parity(material, languages),
        "bytes_per_token": sections.bytes_per_token(material, languages),
        "mixture": sections.mixture(material, languages),
        "loss": curves.loss(material),
        "learning_rate": curves.learning_rate(material),
        "bits_over_steps": curves.bits_over_steps(material, languages),
        "funnel": sections.funnel(material),
        "rounds": teaching.rounds(material),
        "checks": teaching.checks(material),
        "samples": summary.samples(material, languages, config.samples_per_language),
    }
