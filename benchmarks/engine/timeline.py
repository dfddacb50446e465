"""What happened when, printed as it happens and kept: a run on a cluster has several tellers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

STYLES = {"demo": "bold", "cluster": "cyan", "run": "green", "stage": ""}
WIDTH = 160
"""Of what is no terminal."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    at: float
    """Seconds since 1970."""
    who: str
    what: str


class Timeline:
    """Entries by the order in which they became known."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._began = time.time()
        self._console = Console(highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._console.width = WIDTH

    def add(self, who: str, what: str, at: float | None = None) -> None:
        """Print and keep what happened, now or when it is said to have."""
        entry = Entry(time.time() if at is None else at, who, what)
        self.entries.append(entry)
        since = max(0.0, entry.at - self._began)
        minutes, seconds = divmod(since, 60)
        line = f"{int(minutes):02}:{seconds:04.1f}  {who:8} {what}"
        self._console.print(Text(line, style=STYLES.get(who, "")))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.time() - self._began
