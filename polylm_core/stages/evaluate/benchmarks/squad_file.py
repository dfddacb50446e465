"""SQuAD's JSON."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_squad(path: Path, language: str) -> Iterator[dict[str, Any]]:
    """SQuAD's JSON, plain or in xz: articles of paragraphs of questions."""
    del language
    content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    articles: list[dict[str, Any]] = json.loads(content)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                yield {
                    "id": question["id"],
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }
