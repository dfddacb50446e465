"""The parity certificate: what was held against what before a model was published.

A stage writes a `Sample` before training: text of each language with the ids it is trained as. When
training ends, the ranks hold the exported folder against it and against the model that trained
(`parity.py`), and put `parity.json` into the folder. A folder without it, or of other bytes than it
names, is not published. It holds no clock and no machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from polylm_core.errors import StageError
from polylm_core.sealed import sealed, unsealed
from polylm_core.storage import sha256_file, write_atomic
from polylm_core.tokenizer import BOS_PIECE, EOS_PIECE, PAD_PIECE, UNK_PIECE

PARITY_FILE = "parity.json"
TEXTS_PER_LANGUAGE = 2
TEXT_CHARACTERS = 600
"""Characters of a sample's text, at most."""
CONTROL_PIECES = (UNK_PIECE, BOS_PIECE, EOS_PIECE, PAD_PIECE)
"""`transformers` reads them as what they stand for wherever they are written; in training they are
text. A sample has none of them."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleText(_Part):
    """One text and what the model knows it as."""

    language: str
    text: str
    """As someone types it; of a chat all of it up to where the answer begins."""
    ids: tuple[int, ...]
    """As trained on; of a chat with its answer and the end token."""
    messages: tuple[dict[str, str], ...] = ()
    """The chat, the answer last; empty for plain text."""


class Sample(_Part):
    """What an export is held against, beside the model that trained."""

    eos_id: int
    """Ended documents and answers in training."""
    texts: tuple[SampleText, ...]
    comes_back: bool = True
    """Whether the tokenizer is to give the texts back from their ids; others' need not."""


class LanguageParity(_Part):
    """What was compared in one language, and what came out."""

    language: str
    texts: int
    """The tokenizer in the folder gives the ids of training for each, and the text back."""
    tokens: int
    """Ids in these texts."""
    positions: int
    """Positions whose logits were compared, each over the whole vocabulary."""
    logit_difference: float
    """Largest, over the largest absolute logit of the sample; rounded up to a power of ten."""
    same_argmax: float
    """Share of the positions with the same likeliest token, rounded down to three digits."""


class Certificate(_Part):
    """That a Hugging Face folder is the model that trained."""

    schema_version: int = 1
    architecture: str
    """Class that `AutoModelForCausalLM` made of the folder alone."""
    parameters: int
    """Elements in the folder; each is, bit for bit, the training's float32 value."""
    precision: str
    """What the training model computed in; the export computed in float32."""
    logit_tolerance: float
    """Allowed of `logit_difference`."""
    eos_id: int
    """Where `generate` was seen to stop, with the settings in the folder."""
    languages: tuple[LanguageParity, ...]
    sha256: dict[str, str]
    """Of every file that was looked at."""


def write_sample(path: Path, sample: Sample) -> None:
    """Write a sample for the ranks to read."""
    write_atomic(path, sample.model_dump_json().encode())


def read_sample(path: Path) -> Sample:
    """Read what `write_sample` wrote."""
    return Sample.model_validate_json(path.read_bytes())


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of a folder's files, the certificate left out."""
    files = sorted(file for file in folder.iterdir() if file.name != PARITY_FILE)
    return {file.name: sha256_file(file) for file in files}


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Put a certificate into the folder it is about."""
    write_atomic(folder / PARITY_FILE, sealed(certificate.model_dump(mode="json")))


def read_certificate(folder: Path) -> Certificate:
    """Read a folder's certificate; raises OSError, or ValueError for one that was changed."""
    return Certificate.model_validate(unsealed((folder / PARITY_FILE).read_bytes()))


def require_certificate(folder: Path) -> Certificate:
    """Return the certificate of an exported folder.

    Raises StageError when there is none, or when it was made on other bytes than are there.
    """
    remedy = "run again: the export is made anew from the last checkpoint"
    try:
        certificate = read_certificate(folder)
    except (OSError, ValueError) as error:
        raise StageError(
            f"{folder / PARITY_FILE} does not say that the export is the model that trained "
            f"({error}), so it is not published; {remedy}"
        ) from error
    there = digests(folder)
    other = sorted(
        name
        for name in certificate.sha256.keys() | there.keys()
        if certificate.sha256.get(name) != there.get(name)
    )
    if other:
        named = ", ".join(str(folder / name) for name in other)
        raise StageError(
            f"{named}: not as when it was compared with the model that "
            f"trained, so nothing is published; {remedy}"
        )
    return certificate


def as_table(certificate: Certificate) -> Sequence[dict[str, object]]:
    """Return one row a language, to show."""
    return [row.model_dump() for row in certificate.languages]
