"""Which pairs and which blind moments have told the watch already: what one of them says twice is still said once."""

from __future__ import annotations

from .outcome import Outcome

BLIND_NS = 10**9  # a turn of ten seconds is ten frames that say nothing, however many pairs were passed over in it


class Heard:
    """Stamps of what has told, in ns of the pairs' own clock."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing has told yet."""
        self._until = 0  # stamp of the newest pair that has told something
        self._blind_at = 0  # stamp of the last one that told that it cannot

    def adds(self, outcome: Outcome) -> bool:
        """Whether it rests on no pair that has told already; those that it rests on have told from now on."""
        if outcome.stamp < self._until:
            self._until = 0  # time has jumped back
        if outcome.oldest <= self._until:
            return False
        self._until = outcome.stamp
        return True

    def adds_blindness(self, stamp: int) -> bool:
        """Whether a pair with this stamp that tells nothing is another moment than the last such one."""
        if abs(stamp - self._blind_at) < BLIND_NS:  # the clock may jump back
            return False
        self._blind_at = stamp
        return True
