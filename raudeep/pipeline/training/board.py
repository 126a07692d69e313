"""Where workers say what they did; in a module of its own, whose process need not load torch."""

from typing import Any

__all__ = ["Board"]


class Board:
    """Where workers say what they did and the driver takes it from; an actor."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def put(self, entry: dict[str, Any]) -> None:
        """Say something."""
        self._entries.append(entry)

    def take(self) -> list[dict[str, Any]]:
        """Return what was said since the last time."""
        entries, self._entries = self._entries, []
        return entries
