"""The page as one file: its style, its data and the chart library in it.

The chart library is packed, because it alone would be five megabytes: the browser unpacks it
(DecompressionStream, in all of them since 2023). It may load nothing from elsewhere; a content
security policy sees to that.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from polylm_core.stages.report.blocks import Table


@functools.cache
def environment() -> Environment:
    """The templates; HTML escapes what it shows, Markdown does not."""
    made = Environment(
        loader=PackageLoader("polylm_core.stages.report"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["yaml"] = _yaml
    made.filters["markdown"] = _markdown
    return made


@functools.cache
def _packed_plotly() -> str:
    # Without a time in it, so that the same library gives the same bytes.
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode()


def render(template: str, title: str, contents: Mapping[str, str], shown: Mapping[str, Any]) -> str:
    """A page of the template; `contents` are the names of its sections by their ids."""
    return (
        environment()
        .get_template(template)
        .render(**shown, title=title, contents=list(contents.items()), plotly=_packed_plotly())
    )


def _yaml(value: str) -> str:
    """A text as a YAML scalar: `no` is Norwegian, not false. JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _markdown(table: Table) -> str:
    """A table in Markdown, words to the left and figures to the right."""
    marks = [":--" if column in table.left else "--:" for column in range(len(table.head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.head, marks, *table.rows))
