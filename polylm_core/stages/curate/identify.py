"""Which language a document is in: its own claim checked, or the answer where it makes none.

A text's own language, and the close relatives declared for it, share their probabilities: what is
asked is "could this be Indonesian", not "is Indonesian ahead of Malay". Where a language must be
told from a cousin, a second look at more of the text decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from polylm_core.characters import Texts
from polylm_core.identify_batch import BatchIdentifier, Probabilities
from polylm_core.languages import UNDETERMINED
from polylm_core.stages.curate.config import IdentifyConfig
from polylm_core.stages.curate.known_languages import MIN_CONFIDENCE
from polylm_core.stages.curate.lines import Flags, Lines
from polylm_core.stages.curate.rows import Rows

FILTER = "identify"
FOREIGN_LINES = "foreign-lines"
REASONS = ("other-language", "unsure-language", "cousin-language", "outside-recipe")
OTHER, UNSURE, COUSIN, OUTSIDE = range(4)

_LINE_CHARACTERS = 200

Verdicts = npt.NDArray[np.int64]


def assign(
    rows: Rows, identifier: BatchIdentifier, languages: Sequence[str], config: IdentifyConfig
) -> list[Rows]:
    """Split documents without a claim by their most probable language.

    A label that stands for several languages means the first of them in the recipe, and one of a
    relative declared for a language of the recipe that language. Documents in no language of the
    registry keep the code `und`.
    """
    probable = identifier.probabilities(
        rows.texts, config.sample_characters, windows=config.sample_windows
    )
    relatives = {
        relative: code
        for code in reversed(languages)
        for relative in config.also_accepted.get(code, ())
    }
    label_codes = [_choose(codes, languages, relatives) for codes in identifier.codes]
    codes = np.array(label_codes, object)[probable.argmax(axis=1)]
    codes[probable.max(axis=1, initial=0) <= 0] = UNDETERMINED
    found = []
    for code in sorted(set(codes)):
        part = rows.where(codes == code)
        found.append(Rows(code, part.columns, part.keys, part.texts))
    return found


def _choose(codes: tuple[str, ...], languages: Sequence[str], relatives: Mapping[str, str]) -> str:
    if not codes:
        return UNDETERMINED
    own = next((code for code in languages if code in codes), None)
    return own or next((relatives[code] for code in codes if code in relatives), codes[0])


def verdicts(
    texts: Texts, language: str, identifier: BatchIdentifier, config: IdentifyConfig
) -> Verdicts:
    """The index in `REASONS` of why a text is not in the language it claims, -1 where it is."""
    found = np.full(len(texts), -1, np.int64)
    if not identifier.knows(language) or len(texts) == 0:
        return found
    seen = confidence(texts, language, identifier, config)
    threshold = least_confidence(language, config)
    found[seen < threshold] = UNSURE
    found[seen < threshold / 2] = OTHER
    cousins = [code for code in config.cousins.get(language, ()) if identifier.knows(code)]
    accepted = np.flatnonzero(found < 0)
    if cousins and len(accepted):
        longer = identifier.probabilities(texts.take(accepted), config.second_look_characters)
        rivals = [_sum(longer, identifier, code) for code in cousins]
        mine = _sum(longer, identifier, language)
        found[accepted[mine <= np.max(rivals, axis=0)]] = COUSIN
    return found


def least_confidence(language: str, config: IdentifyConfig) -> float:
    """What a text of a language must reach: declared, or lower where the model is known weak."""
    usual = min(config.min_confidence, MIN_CONFIDENCE.get(language, 1.0))
    return config.min_confidence_by_language.get(language, usual)


def confidence(
    texts: Texts, language: str, identifier: BatchIdentifier, config: IdentifyConfig
) -> Probabilities:
    """How probable it is that each text is in the language or in a relative declared for it."""
    own = identifier.columns([language, *config.also_accepted.get(language, ())])
    probable = identifier.probabilities(
        texts, config.sample_characters, windows=config.sample_windows
    )
    return np.asarray(probable[:, own].sum(axis=1))


def _sum(probable: Probabilities, identifier: BatchIdentifier, code: str) -> Probabilities:
    return np.asarray(probable[:, identifier.columns([code])].sum(axis=1))


def foreign_lines(
    lines: Lines, language: str, identifier: BatchIdentifier, config: IdentifyConfig
) -> Flags:
    """Whether each line is surely in another language than its document's."""
    foreign = np.zeros(len(lines.starts), np.bool_)
    settings = config.foreign_lines
    if settings is None or not identifier.knows(language):
        return foreign
    judged = np.flatnonzero(lines.letters >= settings.min_letters)
    bounds = (lines.starts[judged], lines.ends[judged])
    probable = identifier.probabilities(lines.texts, _LINE_CHARACTERS, bounds=bounds)
    relatives = (*config.also_accepted.get(language, ()), *config.cousins.get(language, ()))
    probable[:, identifier.columns([language, *relatives])] = 0
    foreign[judged] = probable.max(axis=1, initial=0) >= settings.min_confidence
    return foreign
