"""Apertium: rules and dictionaries in files of their own, by the command `apertium`.

Each line is a paragraph of one call: the command translates paragraphs apart from each other, and
a call costs a third of a second.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polylm_core.errors import TranslatorError
from polylm_core.languages import get_language
from polylm_core.storage import fingerprint, sha256_file
from polylm_core.translators.codes import apertium_codes
from polylm_core.translators.config import ApertiumTranslator
from polylm_core.translators.translator import Scope, Translation

COMMAND = "apertium"
DATA = Path("share/apertium")
"""Beside the command's `bin`, unless the command's own variable says otherwise."""
DATA_VARIABLE = "APERTIUM_DATADIR"
BETWEEN = "\n\n"
TIMEOUT_SECONDS = 600.0
"""Of one call; a line takes milliseconds."""
SHOWN_CHARACTERS = 300
_DATA_FILE = re.compile(r"'(/[^']+)'|(?<![\w'])(/[\w./+-]+)")
_NO_LINE = re.compile(r"[\0\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Apertium:
    """The command, and the pairs that the recipe pins."""

    command: Path
    config: ApertiumTranslator
    is_remote = False
    scope: Scope = "line"

    def problem(self, source: str, target: str) -> str:
        """Name a pair that is not installed or not the one that the recipe pins."""
        pair = f"{source}-{target}"
        mode = find_mode(self.command, source, target)
        names = f"{get_language(source).english_name} into {get_language(target).english_name}"
        if not mode:
            a, b = (apertium_codes(code)[0] for code in (source, target))
            return (
                f"apertium has no pair from {names} ({pair}); install the package apertium-{a}-{b} "
                f"or apertium-{b}-{a}, if `apt-cache search apertium-` or "
                "https://wiki.apertium.org names one"
            )
        seen = mode_fingerprint(self.command, mode)
        declared = self.config.fingerprints.get(pair, "nothing")
        if seen == declared:
            return ""
        return (
            f"the fingerprint of apertium's pair {mode} is {seen}, params say {declared} for "
            f"{pair}; install the declared version, or declare this one in "
            "`translator.fingerprints`"
        )

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """Translate all lines; raises TranslatorError."""
        if not texts:
            return []
        mode = find_mode(self.command, source, target)
        lines = [_NO_LINE.sub(" ", text) for text in texts]
        said = _run([str(self.command), "-u", "-f", "txt", mode], BETWEEN.join(lines))
        made = said.rstrip("\n").split(BETWEEN)
        if len(made) != len(lines):
            raise TranslatorError(
                f"{COMMAND} {mode} gave {len(made)} paragraphs for {len(lines)}; try the command "
                "on a text by hand"
            )
        return [Translation(" ".join(line.split())) for line in made]


def find_apertium(config: ApertiumTranslator) -> Apertium:
    """Find the command; raises TranslatorError saying what to install."""
    found = shutil.which(COMMAND)
    if found is None:
        pairs = ", ".join(sorted(config.fingerprints))
        raise TranslatorError(
            f"the command {COMMAND} is missing: `apt-get install apertium`, and a package for each "
            f"of the pairs {pairs}, such as apertium-eng-spa"
        )
    return Apertium(Path(found), config)


def find_mode(command: Path, source: str, target: str) -> str:
    """What apertium calls a pair; empty if it is not installed."""
    installed = _modes(command)
    wanted = [f"{a}-{b}" for a in apertium_codes(source) for b in apertium_codes(target)]
    return next((mode for mode in wanted if mode in installed), "")


def mode_fingerprint(command: Path, mode: str) -> str:
    """Identity of a pair: its pipeline, every file that it names, and apertium's version."""
    data_folder = os.environ.get(DATA_VARIABLE) or command.resolve().parents[1] / DATA
    file = Path(data_folder) / "modes" / f"{mode}.mode"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    named = {Path(first or second) for first, second in _DATA_FILE.findall(text)}
    data = {path.name: sha256_file(path) for path in sorted(named) if path.is_file()}
    steps = _DATA_FILE.sub(lambda match: Path(match[1] or match[2]).name, text)
    version = _run([str(command), "-V"], "").strip()
    return fingerprint({"version": version, "steps": steps, "data": data})


@functools.cache
def _modes(command: Path) -> frozenset[str]:
    return frozenset(_run([str(command), "-l"], "").split())


def _run(command: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
        return done.stdout.decode()
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout).decode(errors="replace").split())
        raise TranslatorError(
            f"{' '.join(command)} ended with {error.returncode}: {said[:SHOWN_CHARACTERS]}"
        ) from None
    except subprocess.TimeoutExpired:
        raise TranslatorError(
            f"{' '.join(command)} took more than {TIMEOUT_SECONDS:g} s; try it by hand"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TranslatorError(f"{' '.join(command)} cannot be run ({error})") from None
