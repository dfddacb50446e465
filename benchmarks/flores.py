"""Bits per byte of the base model on FLORES-200 sentences: `python -m benchmarks.flores ARCHIVE`.

FLORES-200 (CC-BY-SA 4.0) is for evaluation only and does not ship with the project: ARCHIVE is a
tar file with one `<language>.dev` file of sentences a language. Ends with status 1 when the mean
over the model's languages is above the stated ceiling. `--quick` scores 20 sentences a language.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from polylm_core.artifacts import BaseModelFolder
from polylm_core.tokenizer import HuggingFaceTwin
from polylm_core.training.dataset import IGNORED_TARGET
from polylm_core.training.loss import LanguageModelLoss

CEILING_BITS_PER_BYTE = 3.30
"""Mean of the default recipe's 18 languages that a run must not exceed."""
SENTENCES, QUICK_SENTENCES = 100, 20
BATCH = 20


def sentences(archive: Path, languages: Sequence[str], number: int) -> dict[str, list[str]]:
    """Return the first sentences of each language's file in the archive."""
    found: dict[str, list[str]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            code = Path(member.name).name.split(".")[0]
            content = tar.extractfile(member) if code in languages else None
            if content is not None:
                found[code] = content.read().decode().splitlines()[:number]
    missing = sorted(set(languages) - found.keys())
    if missing:
        raise SystemExit(f"error: {archive} has no file of {', '.join(missing)}")
    return found


def bits_per_byte(model: LanguageModelLoss, twin: HuggingFaceTwin, texts: Sequence[str]) -> float:
    """Return bits per UTF-8 byte; each sentence begins after an end token, as in training."""
    context = int(model.model.config.max_position_embeddings)
    rows = sorted(([twin.eos_id, *twin.encode(text)][: context + 1] for text in texts), key=len)
    nats = 0.0
    for begin in range(0, len(rows), BATCH):
        chunk = rows[begin : begin + BATCH]
        longest = max(map(len, chunk))
        ids = torch.zeros(len(chunk), longest - 1, dtype=torch.long)
        targets = torch.full_like(ids, IGNORED_TARGET)
        for number, row in enumerate(chunk):
            ids[number, : len(row) - 1] = torch.tensor(row[:-1])
            targets[number, : len(row) - 1] = torch.tensor(row[1:])
        with torch.no_grad():
            nats += float(model(ids, targets).sum())
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def main() -> int:
    """Score the model of `data/06_base`; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", type=Path, default=Path("data/06_base"))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    base = BaseModelFolder.load(arguments.model)
    languages = base.manifest.params["languages"]
    number = QUICK_SENTENCES if arguments.quick else SENTENCES
    texts = sentences(arguments.archive, languages, number)
    load: Any = AutoModelForCausalLM.from_pretrained  # transformers leaves it untyped
    model = LanguageModelLoss(load(base.path, local_files_only=True)).eval()
    twin = HuggingFaceTwin(base.path)
    scores = {code: bits_per_byte(model, twin, texts[code]) for code in tqdm(languages)}
    mean = sum(scores.values()) / len(scores)
    result = {
        "benchmark": "flores",
        "model": base.fingerprint,
        "sentences": number,
        "mean_bits_per_byte": round(mean, 4),
        "ceiling": CEILING_BITS_PER_BYTE,
        "by_language": {code: round(value, 4) for code, value in scores.items()},
    }
    print(json.dumps(result))
    return int(mean > CEILING_BITS_PER_BYTE)


if __name__ == "__main__":
    sys.exit(main())
