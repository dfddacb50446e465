"""Package files and apt's description indexes, fetched into a folder; nothing is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from infra.sources.errors import SourcesError
from infra.sources.packages import PackageFile, Recorded, Wanted, obtain

_CONNECTIONS = 4
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Where Debian's own keys lie, in every Debian."""
_LANGUAGES = (
    "en de fr it es pt pt_BR ru ja ko zh_CN zh_TW nl pl tr id vi uk cs da sv fi hu sk sr hr ca eu "
    "el ro km"
).split()


def fetch_packages(
    wanted: Iterable[Wanted], folder: Path, recorded: dict[str, Recorded]
) -> list[PackageFile]:
    """Fetch what is missing; a recorded version is preferred, a newer one is accepted."""
    listed = list(wanted)

    def fetch(package: Wanted) -> PackageFile:
        return obtain(package, folder, recorded.get(package.name), accept_new=True)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(tqdm(pool.map(fetch, listed), "fetch packages", len(listed), disable=None))


def fetch_descriptions(folder: Path) -> list[Path]:
    """Return apt's `Translation-xx` files, fetched with a configuration of their own."""
    lists = folder / "lists"
    found = sorted(lists.glob("*_i18n_Translation-*"))
    if found:
        return found
    for part in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(_debian_alone())
    configuration = folder / "apt.conf"
    configuration.write_text(_configuration(folder, _LANGUAGES))
    subprocess.run(
        ["apt-get", "-qq", "update"], env={"APT_CONFIG": str(configuration), "PATH": "/usr/bin"},
        check=True,
    )  # fmt: skip
    return sorted(lists.glob("*_i18n_Translation-*"))


def _debian_alone() -> str:
    """Return this machine's line for Debian's release; others have no descriptions to add."""
    fields = "$(REPO_URI)|$(RELEASE)"
    wanted = ["Identifier: Packages", "Origin: Debian", "Component: main", "Label: Debian"]
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, *wanted],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    targets = [line.split("|") for line in done.stdout.splitlines()]
    if not targets:
        raise SourcesError("apt-get: this machine's sources have no Debian release")
    uri, release = min(targets, key=lambda target: len(target[1]))
    return f"deb [signed-by={KEYS}] {uri} {release} main\n"


def _configuration(folder: Path, languages: Sequence[str]) -> str:
    # The machine's own configuration is left out: images for containers set no languages there.
    listed = " ".join(f'"{language}";' for language in languages)
    return f"""\
Dir::State::Lists "{folder}/lists/";
Dir::Cache "{folder}/cache/";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Parts "{folder}/parts";
Dir::Etc::Main "{folder}/none";
APT::Sandbox::User "root";
Acquire::GzipIndexes "false";
Acquire::Languages {{ {listed} }};
"""
