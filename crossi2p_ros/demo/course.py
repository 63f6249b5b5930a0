"""How far the repair has come, by what the node has said so far; pure, without ROS."""

from __future__ import annotations

from .said import Said


class NotRepaired(Exception):
    """Why the demo did not come to its end, in words."""


class Course:
    """From silence over agreeing answers and the repair to a later answer that confirms it."""

    def __init__(self, needed: int) -> None:
        """needed: answers in a row that have to agree before the node repairs."""
        self.needed = needed
        self.last: Said | None = None
        self._answers_at_repair: int | None = None

    def hear(self, said: Said) -> None:
        """Take one message of the diagnostics in."""
        self.last = said
        if self._answers_at_repair is None and said.count("repairs"):
            self._answers_at_repair = said.count("registrations ok")

    @property
    def repaired(self) -> bool:
        """The estimate has become the reference."""
        return self._answers_at_repair is not None

    @property
    def confirmed(self) -> bool:
        """After the repair another answer was valid, and the diagnostics are OK."""
        if self.last is None or self._answers_at_repair is None:
            return False
        return self.last.count("registrations ok") > self._answers_at_repair and self.last.word == "OK"

    def missing(self) -> str:
        """What has not come yet, and what the diagnostics say instead."""
        if self.last is None:
            return "no diagnostics came from register_node"
        return f"{self._next()}; the diagnostics say: {self.last.word}, {self.last.message}"

    def _next(self) -> str:
        """The first thing that is missing."""
        assert self.last is not None
        if not self.last.active:
            return "register_node did not become active"
        if self.repaired:
            return "no answer that is OK came after the repair"
        if not self.last.count("pairs"):
            return "no pair of image and cloud came together"
        if not self.last.count("registrations ok"):
            return "no valid answer came"
        return f"{self.last.count('agreeing answers')} of {self.needed} answers agree so far"
