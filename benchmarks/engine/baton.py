"""Lets two processes work by turns, so that a moment in which the machine is slow slows both."""

from __future__ import annotations

import os
from pathlib import Path

PLACES = 2


class Baton:
    """One process's hand in the passing: who holds the baton works, the other waits.

    Before its first `hand_over` each works as it likes. The process at place 0 holds the baton
    first, and drops it at its end; both hand it over as often.
    """

    def __init__(self, folder: Path, place: int) -> None:
        """`place` is 0 or 1; `create` has made the pipes in `folder`."""
        self._holds = place == 0
        # Opened for both ways: neither side waits for the other to open it, or fails when it ended.
        pipes = [os.open(folder / f"baton-{at}", os.O_RDWR) for at in range(PLACES)]
        self._mine, self._next = pipes[place], pipes[1 - place]

    @staticmethod
    def create(folder: Path) -> None:
        """Make the pipes that the baton goes through."""
        for place in range(PLACES):
            os.mkfifo(folder / f"baton-{place}")

    def hand_over(self) -> None:
        """Pass the baton on and wait until it comes back."""
        self.drop()
        os.read(self._mine, 1)
        self._holds = True

    def drop(self) -> None:
        """Pass the baton on for good."""
        if self._holds:
            os.write(self._next, b"\0")
        self._holds = False
