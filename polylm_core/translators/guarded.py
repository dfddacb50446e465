"""Texts through a translator, with their protected parts, lines and margins as they were.

A text is cut into segments: what the translator is given at once, without what stands around it.
The protected parts within a segment are masked by markers. Where these do not come back, another
form of marker is tried, and then the pieces between the protected parts one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from polylm_core.translators.config import ProtectionConfig
from polylm_core.translators.protection import (
    Masked,
    Part,
    has_letters,
    mask,
    parts_of,
    spans_of,
)
from polylm_core.translators.translator import EMPTY, PART_LOST, Scope, Translation, Translator

Segment = tuple[Part, ...]
"""Begins and ends with something to translate."""
Ask = Callable[[Sequence[str]], list[Translation]]


def translate_guarded(
    translator: Translator,
    texts: Sequence[str],
    source: str,
    target: str,
    protection: ProtectionConfig,
) -> list[Translation]:
    """Translate all texts; each protected part of a text is in its translation, or it is refused.

    Raises TranslatorError or TeacherError when the translator cannot go on.
    """

    def ask(asked: Sequence[str]) -> list[Translation]:
        answers = translator.translate(asked, source, target) if asked else []
        return [_not_empty(answer) for answer in answers]

    if translator.scope == "exact":
        return _translate_exactly(texts, ask)
    plans = [_plan(text, translator.scope) for text in texts]
    segments = dict.fromkeys(
        piece for plan in plans for piece in plan if not isinstance(piece, str)
    )
    done = _translate_segments(list(segments), ask, protection)
    return [_assembled(plan, done) for plan in plans]


def _translate_exactly(texts: Sequence[str], ask: Ask) -> list[Translation]:
    wanted = [text for text in texts if text.strip()]
    known = dict(zip(wanted, ask(wanted), strict=True))
    return [_unharmed(text, known.get(text, Translation(text))) for text in texts]


def _not_empty(made: Translation) -> Translation:
    return made if made.refusal or made.text.strip() else Translation("", EMPTY)


def _unharmed(text: str, made: Translation) -> Translation:
    if made.refusal or spans_of(text) <= spans_of(made.text):
        return made
    return Translation("", PART_LOST)


def _assembled(plan: Sequence[str | Segment], done: dict[Segment, Translation]) -> Translation:
    whole: list[str] = []
    for piece in plan:
        made = Translation(piece) if isinstance(piece, str) else done[piece]
        if made.refusal:
            return made
        whole.append(made.text)
    return Translation("".join(whole))


def _plan(text: str, scope: Scope) -> list[str | Segment]:
    """What stays as it is, and the segments between."""
    plan: list[str | Segment] = []
    open_parts: list[Part] = []

    def close() -> None:
        plan.extend(_trimmed(open_parts))
        open_parts.clear()

    for part in parts_of(text):
        if scope == "text" or "\n" not in part.text:
            open_parts.append(part)
        elif part.is_protected:
            close()
            plan.append(part.text)
        else:
            for line in part.text.splitlines(keepends=True):
                open_parts.append(Part(line, False))
                if line.splitlines() != [line]:
                    close()
    close()
    return plan


def _trimmed(parts: Iterable[Part]) -> list[str | Segment]:
    """A segment between the space and protected parts before and after it, or no segment."""
    core = list(parts)
    before = _cut(core, 0)
    if not core:
        return [before]
    after = _cut(core, -1)
    first, last = core[0].text, core[-1].text
    before += first[: len(first) - len(first.lstrip())]
    after = last[len(last.rstrip()) :] + after
    core[0] = Part(core[0].text.lstrip(), False)
    core[-1] = Part(core[-1].text.rstrip(), False)
    return [before, tuple(core), after]


def _cut(core: list[Part], end: int) -> str:
    """Take from one end what has nothing to translate."""
    taken: list[str] = []
    while core and (core[end].is_protected or not has_letters(core[end].text)):
        taken.insert(0 if end else len(taken), core.pop(end).text)
    return "".join(taken)


@dataclass
class _Work:
    """Segments that are not translated yet, and those that are."""

    pending: list[Segment]
    done: dict[Segment, Translation] = field(default_factory=dict)


def _translate_segments(
    segments: list[Segment], ask: Ask, protection: ProtectionConfig
) -> dict[Segment, Translation]:
    plain = [segment for segment in segments if len(segment) == 1]
    work = _Work([segment for segment in segments if len(segment) > 1])
    answers = ask([segment[0].text for segment in plain])
    work.done |= zip(plain, answers, strict=True)
    for marker in protection.markers:
        _with_markers(work, ask, marker)
    _piece_by_piece(work, ask, protection.max_pieces)
    for segment in work.pending:
        work.done[segment] = Translation("", PART_LOST)
    return work.done


def _with_markers(work: _Work, ask: Ask, marker: str) -> None:
    masked: list[Masked] = [mask(segment, marker) for segment in work.pending]
    texts = list(dict.fromkeys(each.text for each in masked))
    known = dict(zip(texts, ask(texts), strict=True))
    asked, work.pending = work.pending, []
    for segment, each in zip(asked, masked, strict=True):
        answer = known[each.text]
        restored = None if answer.refusal else each.restore(answer.text)
        if answer.refusal:
            work.done[segment] = answer
        elif restored is None:
            work.pending.append(segment)
        else:
            work.done[segment] = Translation(restored)


def _piece_by_piece(work: _Work, ask: Ask, most: int) -> None:
    few = [segment for segment in work.pending if len(_pieces(segment)) <= most]
    texts = list(dict.fromkeys(text for segment in few for text in _pieces(segment)))
    known = dict(zip(texts, ask(texts), strict=True))
    work.pending = [segment for segment in work.pending if segment not in set(few)]
    for segment in few:
        plan: list[str | Segment] = []
        for part in segment:
            is_piece = not part.is_protected and has_letters(part.text)
            plan += _trimmed([part]) if is_piece else [part.text]
        work.done[segment] = _assembled(
            plan, {(Part(text, False),): made for text, made in known.items()}
        )


def _pieces(segment: Segment) -> list[str]:
    return [
        part.text.strip() for part in segment if not part.is_protected and has_letters(part.text)
    ]
