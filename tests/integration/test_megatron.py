"""Megatron-LM's own reader opens the token files and finds the documents that were written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from polylm_core.token_files import TokenFile, TokenFileWriter

READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
from megatron.core.datasets.indexed_dataset import IndexedDataset
for mmap in (True, False):
    dataset = IndexedDataset(sys.argv[1], mmap=mmap)
    print(json.dumps({
        "documents": [ids.tolist() for ids in dataset],
        "dtype": str(dataset[0].dtype),
        "sizes": dataset.sequence_lengths.tolist(),
        "bounds": dataset.document_indices.tolist(),
        "part": dataset.get(2, offset=1, length=2).tolist(),
    }))
"""
WRITE = """
import sys, torch, numpy, warnings
warnings.simplefilter("ignore")
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder
builder = IndexedDatasetBuilder(sys.argv[1] + ".bin", dtype=DType.optimal_dtype(int(sys.argv[2])))
for ids in ([5, 6, 2], [2], [7, 8, 9, 2]):
    builder.add_document(torch.tensor(ids), [len(ids)])
builder.finalize(sys.argv[1] + ".idx")
"""
DOCUMENTS = [[5, 6, 2], [2], [7, 8, 9, 2]]


def in_megatron(code: str, *arguments: object) -> list[str]:
    """Lines printed by a process of its own: importing Megatron-LM takes seconds and warns."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("vocab_size", "dtype"), [(64_000, "uint16"), (256_000, "int32")])
def test_megatron_reads_what_we_write(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    documents = [*DOCUMENTS[:2], [7, vocab_size - 1, 9, 2]]
    with TokenFileWriter(tmp_path / "deu_Latn", vocab_size=vocab_size) as writer:
        for ids in documents:
            writer.add(ids)
    mapped, read = map(json.loads, in_megatron(READ, tmp_path / "deu_Latn"))
    assert mapped == read
    assert mapped["documents"] == documents
    assert mapped["dtype"] == dtype
    assert mapped["sizes"] == [3, 1, 4]
    assert mapped["bounds"] == [0, 1, 2, 3]
    assert mapped["part"] == [vocab_size - 1, 9]


def test_megatron_writes_the_bytes_that_we_write(tmp_path: Path) -> None:
    in_megatron(WRITE, tmp_path / "theirs", 64_000)
    with TokenFileWriter(tmp_path / "ours", vocab_size=64_000) as writer:
        for ids in DOCUMENTS:
            writer.add(ids)
    for suffix in ("bin", "idx"):
        theirs = (tmp_path / f"theirs.{suffix}").read_bytes()
        assert (tmp_path / f"ours.{suffix}").read_bytes() == theirs
    assert [
        ids.tolist() for ids in map(TokenFile.open(tmp_path / "theirs").document, range(3))
    ] == (DOCUMENTS)
