"""SQuAD's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polylm_core.lines import MAX_RECORD_BYTES, read_whole

MAX_BYTES = 4 * MAX_RECORD_BYTES
"""Six times SQuAD itself."""


def read_squad(path: Path, language: str) -> Iterator[dict[str, Any]]:
    """SQuAD's JSON, plain or in xz: articles of paragraphs of questions."""
    del language
    articles: list[dict[str, Any]] = json.loads(read_whole(path, MAX_BYTES))["data"]
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
