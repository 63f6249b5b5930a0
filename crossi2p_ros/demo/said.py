"""One message of the node's diagnostics, as the demo reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..report import ERROR, OK, WARN

LEVELS = {OK: "OK", WARN: "WARN", ERROR: "ERROR"}


@dataclass(frozen=True)
class Said:
    """level: OK, WARN or ERROR. message: the reason in words. values: by name, as `interface.DIAGNOSTIC_VALUES`."""

    level: int
    message: str
    values: Mapping[str, str]

    @classmethod
    def of(cls, status: Any) -> Said:
        """From a diagnostic_msgs/DiagnosticStatus."""
        return cls(status.level[0], status.message, {each.key: each.value for each in status.values})

    @property
    def word(self) -> str:
        """The level: OK, WARN or ERROR."""
        return LEVELS.get(self.level, f"level {self.level}")

    @property
    def active(self) -> bool:
        """The node takes pairs."""
        return self.values.get("state") == "active"

    @property
    def deviation(self) -> tuple[float, float] | None:
        """Degrees and centimetres of the last valid answer from the reference of that moment; None before there is one.
        """
        names = "deviation rotation [deg]", "deviation translation [cm]"
        if not all(name in self.values for name in names):
            return None
        degrees, centimetres = (float(self.values[name]) for name in names)
        return degrees, centimetres

    def count(self, name: str) -> int:
        """A counter; 0 where the node does not tell it, which is before it is configured."""
        return int(self.values.get(name, 0))
