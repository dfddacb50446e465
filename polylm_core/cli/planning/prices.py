"""The table of prices: what an accelerator can do and what its hour costs, with source and date."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polylm_core.errors import ParamsError, Problem
from polylm_core.known_keys import with_nearest
from polylm_core.yaml_files import describe_validation, read_yaml


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Accelerator(_Row):
    """One kind of accelerator, or of processor."""

    memory_bytes: int | None = Field(default=None, gt=0)
    peak_flops: float | None = Field(default=None, gt=0)
    """Of bfloat16 factors and float32 sums, without sparsity."""
    usd_per_hour: float | None = Field(default=None, ge=0)
    """Of one, rented by the hour."""
    spot_usd_per_hour: float | None = Field(default=None, ge=0)
    interruptions_per_month: float | None = Field(default=None, ge=0)
    """Times that a machine at the spot price is taken away in a month."""
    source: str
    """Who says so."""
    date: str


class Prices(_Row):
    """Accelerators by name."""

    accelerators: dict[str, Accelerator]


def load_prices(own: Path | None = None) -> Prices:
    """Load the shipped table, with the rows of a user's own in the place of those named alike.

    Raises ParamsError with every problem of the user's.
    """
    shipped = resources.files("polylm_core.cli.planning") / "prices.yaml"
    table = Prices.model_validate(yaml.safe_load(shipped.read_text(encoding="utf-8")))
    if own is None:
        return table
    try:
        content: Any = read_yaml(own)
        mine = Prices.model_validate(content)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(own), [Problem("(file)", f"cannot be read: {error}")]) from error
    except ValidationError as error:
        problems = describe_validation(str(own), error).problems
        raise ParamsError(str(own), with_nearest(problems, Prices)) from error
    return Prices(accelerators={**table.accelerators, **mine.accelerators})
