"""Who is killed, when: all of it drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Victim = Literal["worker", "node", "controller", "driver"]
VICTIMS: tuple[Victim, ...] = ("worker", "node", "driver", "controller")
"""A rank; the machine of one, with all its processes; the stage's process, which is Ray's driver;
Ray Train's own process, which watches the ranks."""
Moment = Literal["step", "save", "start"]
"""Between two saves, inside one, or while the ranks of a restart load their state."""
CHECKPOINT_EVERY_STEPS = 20
WORLD_SIZE = 2
GAP_STEPS = (12, 40)
"""Between two kills; three of them always have a checkpoint among them."""
LAST_STEPS = 25
"""After the last kill."""


@dataclass(frozen=True)
class Kill:
    """One kill of a plan."""

    number: int
    victim: Victim
    moment: Moment
    step: int
    """Not before this step; a kill inside a save waits for the next one."""
    rank: int
    """Of the worker, where it is one."""


def plan(kills: int, seed: int) -> list[Kill]:
    """Draw the kills of a run: victims in turns of random order, the moments by lot."""
    draw = random.Random(seed)
    found: list[Kill] = []
    step = 0
    while len(found) < kills:
        victims = [*VICTIMS[:3]] if kills == 3 else [*VICTIMS]
        draw.shuffle(victims)
        for victim in victims[: kills - len(found)]:
            step += draw.randint(*GAP_STEPS)
            moment = _moment(draw, victim, found)
            found.append(Kill(len(found), victim, moment, step, draw.randrange(WORLD_SIZE)))
    return found


def _moment(draw: random.Random, victim: Victim, before: list[Kill]) -> Moment:
    """Inside a save twice in five; a start is killed only where there is one, and saves go on."""
    if victim == "worker" and not any(kill.victim == "worker" for kill in before):
        return "save"  # however few kills there are, one save is cut short
    moment: Moment = draw.choices(("step", "save", "start"), (9, 8, 3))[0]
    if moment == "start" and (not before or before[-1].moment == "start"):
        return "step"
    return moment


def steps_of(kills: list[Kill]) -> int:
    """Steps of the run that the kills need, some more after the last one."""
    last = kills[-1].step if kills else 0
    every = CHECKPOINT_EVERY_STEPS
    return -(-(last + every + LAST_STEPS) // every) * every
