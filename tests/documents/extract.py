"""The commands that the documents tell a reader to type.

A fenced block of the shell that has a line with a program, and a block that is set in by four
spaces, is one command: a reader types it whole. So is `inline code` that begins with the name of a
program. A fenced `python` block is one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.architecture.closure import ROOT

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs/howto").glob("*.md")))
PROGRAMS = (
    *("apertium", "apt", "aws", "cp", "curl", "docker", "dvc", "export", "git", "helm", "hf"),
    *("kubectl", "make", "pip", "polylm", "prefect", "python", "python3", "ray", "rm", "sbatch"),
    *("squeue", "sudo", "transformers", "vllm"),
)
SHELLS = ("", "bash", "console", "sh")
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}[^\n]+\n)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(?P<body>[^`]+)`(?!`)")
STARTS = re.compile(rf"(?:[A-Z_]+=\S+ )?(?:\S*/)?(?:{'|'.join(PROGRAMS)}) \S")


@dataclass(frozen=True, order=True)
class Command:
    """What a reader types at one place."""

    document: str
    text: str
    is_program: bool = False
    """Python, not a shell's line."""


def commands_in(document: str, text: str) -> Iterator[Command]:
    """Yield every command of a document, in order of kind."""
    for block in FENCED.finditer(text):
        lines = block["body"].splitlines()
        if block["language"] in SHELLS and any(STARTS.match(line.strip()) for line in lines):
            yield Command(document, block["body"].strip())
        elif block["language"] == "python":
            yield Command(document, block["body"].strip(), is_program=True)
    rest = FENCED.sub("\n", text)
    for block in INDENTED.finditer(rest):
        lines = "\n".join(line.strip() for line in block[0].splitlines())
        if STARTS.match(lines):
            yield Command(document, lines)
    for span in INLINE.finditer(INDENTED.sub("\n", rest)):
        line = " ".join(span["body"].split())
        if STARTS.match(line):
            yield Command(document, line)


def all_commands() -> list[Command]:
    """Every command of the README and of the how-tos, each once a document."""
    found = [
        command
        for document in DOCUMENTS
        for command in commands_in(
            str(document.relative_to(ROOT)), document.read_text(encoding="utf-8")
        )
    ]
    return list(dict.fromkeys(found))
