"""`polylm calibrate` and `polylm fineweb2`: settings of a language as text to paste.

What computes is imported where it is called, so that the other commands do not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from polylm_core.errors import MachineError, UnknownLanguageError
from polylm_core.languages import get_language, load_languages
from polylm_core.lid_labels import codes_of
from polylm_core.stages.curate import fineweb_files
from polylm_core.stages.curate.calibration import Calibration, Rate, Rates, RuleReport
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.storage import sha256_file

if TYPE_CHECKING:
    from polylm_core.identify_batch import BatchIdentifier

HEAD = ("rule", "threshold", "was", "is", "seed was", "seed is", "unseen was", "unseen is")
_LEFT_COLUMNS = 2
_SHOWN_CHARACTERS = 80


def identifier_of(config: CurateConfig, classifier: Path | None) -> BatchIdentifier:
    """The recipe's classifier of languages; raises MachineError where its file is not given."""
    from polylm_core.identify_batch import load_identifier

    declared = config.identify.model
    if declared is None and classifier is not None:
        raise MachineError(
            f"--classifier {classifier}: the recipe identifies with lid.176; declare the file in "
            "curate.identify.model, or leave the option out"
        )
    if declared is not None:
        name = f"{declared.source}/{declared.file}"
        if classifier is None or not classifier.is_file():
            raise MachineError(
                f"the recipe identifies with {name}: say where it lies, with --classifier"
                + (f" ({classifier} does not exist)" if classifier is not None else "")
            )
        seen = sha256_file(classifier)
        if seen != declared.sha256:
            raise MachineError(
                f"--classifier {classifier}: sha256 is {seen}, the recipe declares "
                f"{declared.sha256} for {name}; fetch the file again, or correct the recipe"
            )
    return load_identifier(classifier)


def calibrate_files(
    language: str,
    files: Sequence[Path],
    config: CurateConfig,
    identifier: BatchIdentifier,
    *,
    budget: float,
    whole_files: bool,
) -> Calibration:
    """Calibrate on the documents of some files."""
    from polylm_core.stages.curate.calibrate import calibrate
    from polylm_core.stages.curate.seed_text import read_texts

    get_language(language)  # before gigabytes are read
    texts = chain.from_iterable(read_texts(file, whole_files=whole_files) for file in files)
    return calibrate(language, texts, config, identifier, budget=budget)


def table(found: Calibration) -> list[str]:
    """What each rule rejects, with the settings as they were and as they are now."""
    both = found.together
    shown = [rule for rule in found.rules if _is_worth_a_line(rule)]
    cells = [HEAD, *map(_cells, shown)]
    cells.append(("all together", "", "", "", *_shares(both)))
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
    low, high = both.held_out_after.interval
    silent = len(found.rules) - len(shown)
    lines = [
        f"{found.language}: {both.seed_after.documents:,} documents "
        f"({found.seed_bytes / 1e6:.2f} MB) to derive from, "
        f"{both.held_out_after.documents:,} ({found.held_out_bytes / 1e6:.2f} MB) to check with",
        "",
        *lines,
        *([f"{silent} more rules reject nothing"] if silent else []),
        "",
        f"false rejects of unseen text: {_share(both.held_out_after)} "
        f"({both.held_out_after.rejected:,} of {both.held_out_after.documents:,}; 95 % interval "
        f"{100 * low:.2f} % to {100 * high:.2f} %), budget {100 * found.budget:g} %",
    ]
    return [*lines, *_remarks(found)]


def _is_worth_a_line(rule: RuleReport) -> bool:
    return rule.before != rule.after or any(rate.rejected for rate in _each(rule.rates))


def _cells(rule: RuleReport) -> tuple[str, ...]:
    return (rule.reason, rule.setting, f"{rule.before:g}", f"{rule.after:g}", *_shares(rule.rates))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if column < _LEFT_COLUMNS else cell.rjust(width)


def _each(rates: Rates) -> tuple[Rate, ...]:
    return rates.seed_before, rates.seed_after, rates.held_out_before, rates.held_out_after


def _shares(rates: Rates) -> tuple[str, ...]:
    return tuple(map(_share, _each(rates)))


def _share(rate: Rate) -> str:
    return f"{100 * rate.share:.2f} %"


def _remarks(found: Calibration) -> list[str]:
    remarks = []
    if found.min_confidence is None:
        remarks.append("the classifier does not know the language: it is not identified")
    if found.too_short_documents:
        remarks.append(
            f"{found.too_short_documents:,} documents left out that are shorter than min_words "
            f"({found.limits.min_words})"
        )
    if found.other_script_documents:
        remarks.append(f"{found.other_script_documents:,} documents left out in another script")
    for rule in found.rules:
        if rule.turned_off_by:
            start = " ".join(rule.turned_off_by[:_SHOWN_CHARACTERS].split())
            remarks.append(f"{rule.reason} is turned off, by documents such as: {start}")
    if found.stop_words:
        remarks.append(f"{len(found.stop_words)} stop words: {' '.join(found.stop_words)}")
    if found.together.held_out_after.interval[0] > found.budget:
        remarks.append("more than the budget: the unseen text is unlike the seed; give more of it")
    return remarks


def content(found: Calibration) -> dict[str, Any]:
    """Return what `table` says, for programs."""
    return {
        "language": found.language,
        "budget_share": found.budget,
        "rules": [
            {
                "rule": rule.reason,
                "setting": rule.setting,
                "before": rule.before,
                "after": rule.after,
                **_rates(rule.rates),
            }
            for rule in found.rules
        ],
        "together": _rates(found.together),
        "unseen_interval": list(found.together.held_out_after.interval),
        "remarks": _remarks(found),
    }


def _rates(rates: Rates) -> dict[str, float]:
    names = ("seed_before_share", "seed_after_share", "unseen_before_share", "unseen_after_share")
    return dict(zip(names, (rate.share for rate in _each(rates)), strict=True))


def settings_text(found: Calibration, format: Literal["params", "fineweb2"]) -> str:
    """The settings as YAML."""
    if format == "fineweb2":
        return fineweb_files.dump(found.fineweb2())
    rate = found.together.held_out_after
    head = (
        f"# polylm calibrate {found.language}: rejects {_share(rate)} of {rate.documents:,} unseen "
        "documents\n"
    )
    return head + _yaml(found.params())


def fineweb2_text(files: Sequence[Path]) -> str:
    """The part of `params.yaml` with FineWeb-2's files; raises ParamsError, UnknownLanguageError.

    A file is named by GlotLID's label of its language, which may stand for several of ours.
    """
    sections: dict[str, Any] = {}
    for file in files:
        settings = fineweb_files.load(file)
        codes = codes_of(file.stem, "glotlid")
        if not codes:
            raise UnknownLanguageError(file.stem, load_languages())
        sections |= dict.fromkeys(codes, yaml.safe_load(fineweb_files.dump(settings)))
    head = (
        "# language_score is GlotLID's: if that is curate.identify.model, it is the language's\n"
        "# curate.identify.min_confidence_by_language.\n"
    )
    return head + _yaml({"curate": {"rules": {"fineweb2": sections}}})


class _Dumper(yaml.SafeDumper):
    """Without anchors: a section can be moved without another."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)


def require_new(out: Path | None) -> None:
    """Raise MachineError where settings would replace a file."""
    if out is not None and out.exists():
        raise MachineError(f"--out {out}: exists and would be replaced; name a new file")


def write(text: str, out: Path | None, *, is_told: bool = False) -> None:
    """Write settings into a new file, or print them where they are not told already."""
    if out is None:
        sys.stdout.write("" if is_told else text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"--out {out}: cannot be written ({error})") from error
    print(f"\nwritten: {out}", file=sys.stderr if is_told else sys.stdout)
