"""Token files are Megatron-LM's, byte for byte, and a damaged one is named."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from polylm_core import token_files, token_index
from polylm_core.errors import CorruptArtifactError
from polylm_core.token_files import TokenFile, TokenFileWriter, bin_path, list_streams
from polylm_core.token_index import idx_path

DOCUMENTS = [[5, 6, 7, 2], [2], [9, 2], [65000, 1, 2]]


def write(stem: Path, documents: list[list[int]], vocab_size: int = 8000) -> Path:
    with TokenFileWriter(stem, vocab_size=vocab_size) as writer:
        for ids in documents:
            writer.add(ids)
    return stem


def test_documents_come_back_as_they_were_written(tmp_path: Path) -> None:
    stream = TokenFile.open(write(tmp_path / "eng_Latn", DOCUMENTS))
    assert [stream.document(i).tolist() for i in range(len(stream))] == DOCUMENTS
    assert stream.tokens.tolist() == [5, 6, 7, 2, 2, 9, 2, 65000, 1, 2]
    assert stream.sizes.tolist() == [4, 1, 2, 3]


def test_every_token_knows_its_document(tmp_path: Path) -> None:
    stream = TokenFile.open(write(tmp_path / "eng_Latn", DOCUMENTS))
    assert [stream.document_of(i) for i in range(10)] == [0, 0, 0, 0, 1, 2, 2, 3, 3, 3]
    with pytest.raises(IndexError):
        stream.document_of(10)


def test_the_bytes_are_those_of_megatron_lm(tmp_path: Path) -> None:
    stem = write(tmp_path / "s", [[1, 2], [3]])
    assert bin_path(stem).read_bytes() == struct.pack("<3H", 1, 2, 3)
    assert idx_path(stem).read_bytes() == (
        b"MMIDIDX\x00\x00"
        + struct.pack("<Q", 1)
        + struct.pack("<B", 8)
        + struct.pack("<QQ", 2, 3)
        + struct.pack("<2i", 2, 1)
        + struct.pack("<2q", 0, 4)
        + struct.pack("<3q", 0, 1, 2)
    )


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(65499, "uint16"), (65500, "int32"), (256_000, "int32")]
)
def test_ids_take_two_bytes_where_the_vocabulary_allows(
    tmp_path: Path, vocab_size: int, dtype: str
) -> None:
    stream = TokenFile.open(write(tmp_path / "s", [[0, vocab_size - 1]], vocab_size))
    assert stream.tokens.dtype == np.dtype(dtype)
    assert stream.document(0).tolist() == [0, vocab_size - 1]


def test_documents_of_several_sequences_are_read_as_megatron_lm_groups_them(
    tmp_path: Path,
) -> None:
    stem = write(tmp_path / "s", [[1, 2], [3], [4, 5]])
    data = bytearray(idx_path(stem).read_bytes())
    data[26:34] = struct.pack("<Q", 3)
    idx_path(stem).write_bytes(bytes(data[:-32]) + struct.pack("<3q", 0, 2, 3))
    stream = TokenFile.open(stem)
    assert [stream.document(i).tolist() for i in range(len(stream))] == [[1, 2, 3], [4, 5]]
    assert stream.document_of(2) == 0


@pytest.mark.parametrize("documents", [DOCUMENTS, []])
def test_a_verified_file_opens_as_any_other(tmp_path: Path, documents: list[list[int]]) -> None:
    stem = write(tmp_path / "s", documents)
    stream = TokenFile.open(stem, verified=True)
    assert [stream.document(i).tolist() for i in range(len(stream))] == documents


def test_a_verified_file_that_was_cut_since_is_refused(tmp_path: Path) -> None:
    stem = write(tmp_path / "s", DOCUMENTS)
    bin_path(stem).write_bytes(bin_path(stem).read_bytes()[:-2])
    with pytest.raises(CorruptArtifactError, match=r"s\.bin: has 18 bytes, its index says 20"):
        TokenFile.open(stem, verified=True)


def test_a_stream_without_documents_can_be_opened(tmp_path: Path) -> None:
    stream = TokenFile.open(write(tmp_path / "s", []))
    assert len(stream) == 0
    assert stream.tokens.tolist() == []


def test_a_name_with_dots_keeps_them(tmp_path: Path) -> None:
    write(tmp_path / "a.b", [[1]])
    write(tmp_path / "a", [[1]])
    assert list_streams(tmp_path) == ("a", "a.b")


def test_no_index_is_left_by_a_writer_that_failed(tmp_path: Path) -> None:
    with (
        pytest.raises(OverflowError),
        TokenFileWriter(tmp_path / "s", vocab_size=10) as writer,
    ):
        writer.add([1, -1])
    assert not idx_path(tmp_path / "s").exists()


def test_an_id_beyond_the_vocabulary_s_width_is_not_wrapped_around(tmp_path: Path) -> None:
    with (
        pytest.raises(OverflowError),
        TokenFileWriter(tmp_path / "s", vocab_size=8000) as writer,
    ):
        writer.add([70_000])


@pytest.mark.parametrize("suffix", ["bin", "idx"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    stem = write(tmp_path / "deu_Latn", DOCUMENTS)
    file = tmp_path / f"deu_Latn.{suffix}"
    data = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(data[:-2] if damage == "truncated" else data + b"\0\0")
    with pytest.raises(CorruptArtifactError, match=rf"deu_Latn\.{suffix}.*run the stage"):
        TokenFile.open(stem)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, b"X"), (9, b"\x02"), (17, b"\x05"), (18, b"\xff" * 8), (34, b"\x07"), (50, b"\x01")],
    ids=["magic", "version", "dtype", "sequences", "size", "pointer"],
)
def test_an_index_that_contradicts_itself_is_refused(
    tmp_path: Path, offset: int, value: bytes
) -> None:
    stem = write(tmp_path / "s", DOCUMENTS)
    data = bytearray(idx_path(stem).read_bytes())
    data[offset : offset + len(value)] = value
    idx_path(stem).write_bytes(bytes(data))
    with pytest.raises(CorruptArtifactError, match=r"s\.idx"):
        TokenFile.open(stem)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5])
def test_an_index_is_the_same_however_much_of_it_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    whole = idx_path(write(tmp_path / "whole", DOCUMENTS)).read_bytes()
    monkeypatch.setattr(token_files, "CHUNK", chunk)
    monkeypatch.setattr(token_index, "CHUNK", chunk)
    stem = write(tmp_path / "s", DOCUMENTS)
    assert idx_path(stem).read_bytes() == whole
    stream = TokenFile.open(stem)
    assert [stream.document_span(i) for i in range(4)] == [(0, 4), (4, 5), (5, 7), (7, 10)]
    joined = tmp_path / "joined"
    with TokenFileWriter(joined, vocab_size=8000) as writer:
        for part in (stem, write(tmp_path / "empty", []), stem):
            writer.add_file(part)
    assert (writer.documents, writer.tokens) == (8, 20)
    assert TokenFile.open(joined).tokens.tolist() == stream.tokens.tolist() * 2
    assert TokenFile.open(joined).sizes.tolist() == [4, 1, 2, 3] * 2
    for number, name in enumerate(("s", "joined")):
        damaged = bytearray(idx_path(tmp_path / name).read_bytes())
        damaged[-8 * (number + 2)] ^= 16  # one of the last document bounds
        idx_path(tmp_path / name).write_bytes(bytes(damaged))
        with pytest.raises(CorruptArtifactError, match="contradict"):
            TokenFile.open(tmp_path / name)


def test_a_batch_of_documents_is_appended_at_once(tmp_path: Path) -> None:
    with TokenFileWriter(tmp_path / "s", vocab_size=8000) as writer:
        writer.add_batch(np.array([5, 2, 2, 7, 8, 2], dtype=np.int32), np.array([2, 1, 3]))
    stream = TokenFile.open(tmp_path / "s")
    assert [stream.document(i).tolist() for i in range(3)] == [[5, 2], [2], [7, 8, 2]]


def test_files_of_another_width_are_not_put_together(tmp_path: Path) -> None:
    write(tmp_path / "wide", [[70_000]], vocab_size=100_000)
    with (
        pytest.raises(CorruptArtifactError, match=r"wide\.bin.*int32, expected uint16"),
        TokenFileWriter(tmp_path / "s", vocab_size=8000) as writer,
    ):
        writer.add_file(tmp_path / "wide")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.bin", "wide.bin", "wide.idx"]


def test_sizes_of_documents_of_several_sequences_are_added(tmp_path: Path) -> None:
    stem = write(tmp_path / "s", [[1, 2], [3], [4, 5]])
    data = bytearray(idx_path(stem).read_bytes())
    data[26:34] = struct.pack("<Q", 3)
    idx_path(stem).write_bytes(bytes(data[:-32]) + struct.pack("<3q", 0, 2, 3))
    assert TokenFile.open(stem).document_sizes(0, 2).tolist() == [3, 2]
    assert TokenFile.open(stem).document_sizes(1, 2).tolist() == [2]
