"""A card for each source of the text: what it is, whose licence, and what was kept of it.

In: the recipe's declaration of the source (from the manifest of `ingest`), the `source.yaml` of a
source that lies in `data/00_sources`, and counts. Out: Markdown with the hub's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polylm_core.artifacts import DocumentSet
from polylm_core.errors import MissingArtifactError
from polylm_core.languages import UNDETERMINED
from polylm_core.stages.report import hub, words
from polylm_core.stages.report.blocks import Table
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.page import environment

FOLDER = "data_cards"
PACKAGE = "package"
SOURCE_FILE = "source.yaml"


@dataclass(frozen=True)
class DataCard:
    """What a card says of one source."""

    name: str
    license: str
    metadata: str
    """YAML."""
    description: str
    made: list[str]
    """How it was made, in sentences."""
    packages: Table | None
    declaration: str
    """The recipe's section, as YAML."""
    identity: str
    languages: Table


def data_cards(
    material: Material, documents: DocumentSet, sources: Path, locations: Mapping[str, str]
) -> dict[str, str]:
    """Return the text of `data_cards/<source>.md` by that name, for each source.

    `locations` are the profile's places of sources that do not lie in `sources`. Raises
    MissingArtifactError when the `source.yaml` of a package is not there.
    """
    template = environment().get_template("data_card.md.j2")
    texts = {}
    for row in material.sources:
        described = _described(row, documents, sources, locations)
        card = _card(row["source"], material, documents, described)
        texts[f"{FOLDER}/{card.name}.md"] = template.render(card=card)
    return texts


def _described(
    row: Mapping[str, Any], documents: DocumentSet, sources: Path, locations: Mapping[str, str]
) -> Mapping[str, Any]:
    """The content of a package's `source.yaml`; nothing for a source of another format."""
    name = row["source"]
    if _declaration(documents, name).get("format") != PACKAGE:
        return {}
    file = Path(str(locations.get(name, sources / name)).removeprefix("file://")) / SOURCE_FILE
    if not file.is_file():
        raise MissingArtifactError(
            f"{file} missing, which says what the source {name} is; put it there, or restore what "
            f"the repository has with `git checkout -- {sources}`"
        )
    content: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def _declaration(documents: DocumentSet, name: str) -> dict[str, Any]:
    declared: dict[str, Any] = documents.manifest.params["sources"][name]
    return declared


def _card(
    name: str, material: Material, documents: DocumentSet, described: Mapping[str, Any]
) -> DataCard:
    row = next(row for row in material.sources if row["source"] == name)
    declared = _declaration(documents, name)
    codes = _codes(documents, name)
    packages = described.get("packages") or []
    return DataCard(
        name=name,
        license=row["license"],
        metadata=hub.data_metadata(name, row["license"], codes, pairs=bool(row["pairs"])),
        description=described.get("description", ""),
        made=_made(declared, described),
        packages=Table(
            ("Package", "Kind", "Version", "sha256"),
            [tuple(str(each[key]) for key in ("name", "kind", "version", "sha256"))
             for each in packages],
            left=(0, 1, 2, 3),
        ) if packages else None,
        declaration=yaml.safe_dump(declared, sort_keys=True, allow_unicode=True).rstrip(),
        identity=row["identity"],
        languages=_languages(name, material, documents, codes),
    )  # fmt: skip


def _codes(documents: DocumentSet, name: str) -> list[str]:
    """Languages of a source's documents and pairs, in the order of their codes."""
    counts = documents.counts
    return sorted({*counts["documents"].get(name, {}), *counts["pairs"].get(name, {})})


def _made(declared: Mapping[str, Any], described: Mapping[str, Any]) -> list[str]:
    made = []
    if declared.get("format") == "huggingface":
        made.append(
            f"Taken from the data set {declared['dataset']} of the Hugging Face hub at commit "
            f"{declared['revision']}."
        )
    if declared.get("version"):
        made.append(f"Version {declared['version']}.")
    if declared.get("share", 1) != 1:
        made.append(f"A share of {declared['share']:g} of its rows, drawn by their sha256.")
    if described.get("packages"):
        made.append("The text of the packages below, taken out of them paragraph by paragraph.")
    if described.get("alignment"):
        made.append(f"Paragraphs are translations of each other by: {described['alignment']}.")
    made.append(
        "Curation then identified the language, applied rules of quality, removed duplicates and "
        "what it shares with evaluation text; each item left out has a counted reason."
    )
    return made


def _languages(
    name: str, material: Material, documents: DocumentSet, codes: Sequence[str]
) -> Table:
    """Documents, bytes and pairs of a source by language, as they came and as they were kept."""
    counts = documents.counts
    kept = {row["language"]: row for row in material.kept_by_source if row["source"] == name}
    rows = []
    for code in [*codes, *sorted(kept.keys() - set(codes))]:
        own = kept.get(code, {"documents": 0, "bytes": 0, "pairs": 0})
        rows.append(
            (
                "not said by the source" if code == UNDETERMINED else words.name(code),
                code,
                words.count(counts["documents"].get(name, {}).get(code, 0)),
                words.size(counts["document_bytes"].get(name, {}).get(code, 0)),
                words.count(counts["pairs"].get(name, {}).get(code, 0)),
                words.count(own["documents"]),
                words.size(own["bytes"]),
                words.count(own["pairs"]),
            )
        )
    heads = ("Documents in", "Text in", "Pairs in", "Documents kept", "Text kept", "Pairs kept")
    return Table(("Language", "Code", *heads), rows, left=(0, 1))
