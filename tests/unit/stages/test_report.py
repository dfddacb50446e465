"""The `report` stage on artifacts with the figures that a small run of 18 languages has."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from polylm_core.artifacts import Artifact, Report
from polylm_core.errors import CorruptArtifactError, MismatchedArtifactError
from polylm_core.languages import POLYLM_LANGUAGES, get_language
from polylm_core.stages.report.material import Inputs
from tests.unit.stages.report_inputs import CONFIG, HIDDEN, make_inputs, run_stage
from tests.unit.stages.report_text import SENTENCES


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_stage(inputs, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(made: Report) -> str:
    return (made.path / "report.html").read_text(encoding="utf-8")


class _Elements(HTMLParser):
    """Start tags with their attributes; unclosed ones are an error."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@pytest.fixture(scope="module")
def elements(page: str) -> _Elements:
    parsed = _Elements(page)
    assert parsed.open == []
    return parsed


def _columns(path: Path, drop: str) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([drop]), path)


def test_the_page_loads_nothing_from_elsewhere(page: str, elements: _Elements) -> None:
    for tag, attributes in elements.seen:
        for name in ("src", "srcset", "href", "action", "poster"):
            target = attributes.get(name) or ""
            assert target.startswith(("#", "data:")) or not target, (tag, target)
    policy = next(a["content"] or "" for a in elements.attributes("meta") if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    styles = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert styles is not None
    assert "url(" not in styles[1]
    assert "@import" not in styles[1]


def test_the_same_artifacts_give_the_same_bytes(
    made: Report, inputs: Inputs, tmp_path: Path
) -> None:
    assert run_stage(inputs, tmp_path).fingerprint == made.fingerprint


def test_every_chart_has_words_and_numbers(elements: _Elements) -> None:
    charts = [a for a in elements.attributes("div") if a.get("class") == "chart"]
    assert len(charts) >= 12
    assert all(a.get("aria-label") for a in charts)
    data = {a.get("data-chart") for a in elements.attributes("script")} - {None}
    assert data == {a["id"] for a in charts}
    assert len(elements.attributes("figcaption")) == len(charts)
    assert len([a for a in elements.attributes("details") if a.get("class") == "numbers"]) == len(
        charts
    )


def test_the_funnel_is_shown_by_round_and_the_checks_by_language(page: str) -> None:
    by_round = page.split("By language and round</summary>")[1].split("</details>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", by_round, re.DOTALL)
    assert len(rows) == 1 + 4 * 2
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", rows[1])
    assert cells == ["German", "1", "5", "6", "7", "8"]
    checked = page.split("personal data masked</summary>")[1].split("</details>")[0]
    assert "75.0" in checked
    assert "99.8" in checked


def test_every_link_of_the_contents_leads_somewhere(elements: _Elements) -> None:
    ids = {attributes["id"] for _, attributes in elements.seen if "id" in attributes}
    targets = {(a["href"] or "").removeprefix("#") for a in elements.attributes("a")}
    assert targets <= ids
    assert len(ids) == len([1 for _, attributes in elements.seen if "id" in attributes])


def test_answers_carry_their_language_and_find_their_direction(elements: _Elements) -> None:
    answers = [a for a in elements.attributes("dd") if a.get("class") == "answer"]
    assert [a["lang"] for a in answers] == [get_language(c).bcp47 for c in POLYLM_LANGUAGES]
    assert {a["dir"] for a in answers} == {"auto"}


def test_texts_of_models_and_sources_are_escaped(page: str) -> None:
    assert "<b>Save</b>" not in page
    assert "&lt;b&gt;Save&lt;/b&gt; &amp; close" in page


def test_only_the_first_answer_of_a_language_is_shown(page: str) -> None:
    assert HIDDEN not in page
    assert SENTENCES["tha_Thai"] in page


def test_the_reader_is_warned_of_the_domain(made: Report, page: str) -> None:
    card = (made.path / "README.md").read_text(encoding="utf-8")
    for text in (page[: page.index('id="data"')], card):
        assert f"trained on {CONFIG.domain} and speaks like that" in text
        assert CONFIG.domain_warning in text


def test_the_summary_is_five_sentences_that_end_with_their_limits(page: str) -> None:
    told = page.split('<ol class="findings"')[1].split("</ol>")[0]
    sentences = re.findall(r"<li>(.*?)</li>", told, re.DOTALL)
    assert len(sentences) == 5
    assert "12 items in a language" in sentences[-1]
    assert "was not tested at all" in sentences[-1]


def test_an_accuracy_whose_interval_holds_chance_is_called_so(page: str) -> None:
    assert re.search(r'<td class="words">not above chance</td>', page)
    assert re.search(r'<td class="words">above chance</td>', page)


def test_the_lineage_names_every_artifact_and_its_parents(page: str, inputs: Inputs) -> None:
    lineage = page[page.index('<section id="lineage"') :]
    for artifact in inputs.all():
        assert artifact.fingerprint[:12] in lineage
    assert f"encode {inputs.tokens.fingerprint[:12]}" in lineage


def test_no_path_of_this_machine_is_in_the_report(made: Report, inputs: Inputs) -> None:
    for name in ("report.html", "README.md", "manifest.json"):
        assert str(inputs.base.path.parent) not in (made.path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "file", "column"),
    [
        ("shards", "attrition.parquet", "reason"),
        ("shards", "filters.parquet", "items_out"),
        ("shards", "samples.parquet", "verdict"),
        ("tokenizer", "fertility.parquet", "parity"),
        ("base", "curves.parquet", "metric"),
        ("instructions", "funnel.parquet", "round"),
        ("instructions", "measures.parquet", "measure"),
        ("scores", "scores.parquet", "baseline"),
        ("scores", "predictions/answers.parquet", "stopped"),
    ],
)
def test_a_lacking_column_is_named_with_the_stage_to_run(
    tmp_path: Path, field: str, file: str, column: str
) -> None:
    inputs = make_inputs(tmp_path)
    artifact: Artifact = getattr(inputs, field)
    _columns(artifact.path / file, column)
    with pytest.raises(CorruptArtifactError) as caught:
        run_stage(inputs, tmp_path)
    assert f"{file}: no column {column}" in str(caught.value)
    assert f"dvc repro --force {artifact.stage}" in str(caught.value)


def test_a_lacking_file_is_named(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    (inputs.mixture.path / "mixture.json").unlink()
    with pytest.raises(CorruptArtifactError, match=r"mixture\.json.*dvc repro --force mix"):
        run_stage(inputs, tmp_path)


def test_a_model_of_other_tokens_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    manifest = inputs.base.manifest
    other = {**manifest.inputs, "encode": "0" * 64}
    base = replace(inputs.base, manifest=manifest.model_copy(update={"inputs": other}))
    with pytest.raises(MismatchedArtifactError, match="06_base was made from another 04_tokens"):
        run_stage(replace(inputs, base=base), tmp_path)


def test_a_lacking_score_is_named(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    path = inputs.scores.path / "scores.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pc.not_equal(table["suite"], "answers")), path)
    with pytest.raises(CorruptArtifactError, match=r"no .* of answers .*--force evaluate"):
        run_stage(inputs, tmp_path)
