"""`polylm summary` and `polylm params`: what there is, and what may be written."""

from __future__ import annotations

from polylm_core.cli.checkout import checkout
from polylm_core.cli.output import AsJson, show


def summary(json: AsJson = False) -> None:
    """Print what each stage took, and where the report, the model and the Prefect UI are."""
    from polylm_core.cli import summary as stages

    root = checkout()
    show(stages.content(stages.rows(root), stages.places(root)), as_json=json)


def params() -> None:
    """Print the reference of params.yaml as Markdown."""
    from polylm_core.cli import reference

    print(reference.markdown(), end="")
