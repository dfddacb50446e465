"""Lets processes work by turns, so that a moment in which the machine is slow slows all of them."""

from __future__ import annotations

import os
from pathlib import Path


class Baton:
    """One process's hand in the passing: who holds the baton works, the others wait.

    Before its first `hand_over` each works as it likes. The process at place 0 holds the baton
    first. All hand it over after each turn, and place 0 drops it after its last instead; the others
    get it once more, with nothing left to do, and drop it too. So none ends, which is work, before
    all have done their last.
    """

    def __init__(self, folder: Path, place: int) -> None:
        """`create` has made the pipes in `folder`; places count from 0."""
        self._holds = place == 0
        # Opened for both ways: no side waits for the next to open it, or fails when that ended.
        places = len(list(folder.iterdir()))
        pipes = [os.open(folder / f"baton-{at}", os.O_RDWR) for at in range(places)]
        self._mine, self._next = pipes[place], pipes[(place + 1) % places]

    @staticmethod
    def create(folder: Path, places: int) -> None:
        """Make the folder and the pipes that the baton goes through."""
        folder.mkdir()
        for place in range(places):
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
