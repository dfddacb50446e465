"""FineWeb-2's YAML files, one a language: read and written byte for byte."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from polylm_core.errors import ParamsError, Problem
from polylm_core.stages.curate.fineweb import FineWebSettings
from polylm_core.yaml_files import describe_validation

PUBLISHED = (
    "dup_line_frac",
    "dup_n_grams",
    "language_score",
    "line_punct_thr",
    "max_avg_word_length",
    "max_non_alpha_words_ratio",
    "min_avg_word_length",
    "new_line_ratio",
    "stopwords",
    "top_n_grams",
)
"""What each of FineWeb-2's files says, in their order."""


def load(path: Path) -> FineWebSettings:
    """Read the settings of one language; ParamsError names the file and every wrong key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Problem("(file)", f"cannot be read: {error}")]) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> FineWebSettings:
    """As `load`, of the text of a file called `name`."""
    try:
        content = yaml.load(text, Loader=_Loader)
        return FineWebSettings.model_validate(content)
    except yaml.YAMLError as error:
        raise ParamsError(name, [Problem("(top level)", f"not YAML: {error}")]) from error
    except ValidationError as error:
        raise describe_validation(name, error) from error


def dump(settings: FineWebSettings) -> str:
    """The YAML text of settings, with the keys of FineWeb-2 and those that differ from its own."""
    fields = FineWebSettings.model_fields
    values = settings.model_dump(mode="json")
    shown = {
        key: value
        for key, value in sorted(values.items())
        if key in PUBLISHED or value != fields[key].default
    }
    return yaml.safe_dump(shown)


class _Loader(yaml.SafeLoader):
    """YAML without YAML 1.1's words for yes and no: `on` and `no` are stop words here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
