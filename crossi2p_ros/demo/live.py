"""The lines that tell on the terminal what the node says, one whenever that changes."""

from __future__ import annotations

import re

from .said import Said

COLOURS = {"OK": "32", "WARN": "33", "ERROR": "31"}  # green, yellow, red
Error = tuple[float, float]


class Live:
    """Makes lines of what is said. needed: answers that have to agree. colours: the level in colour."""

    def __init__(self, needed: int, colours: bool) -> None:
        self._needed, self._colours = needed, colours
        self._shown: tuple[str, ...] = ()

    def line(self, said: Said, seconds: float, error: Error | None) -> str:
        """The line for what is said `seconds` after the beginning; empty where nothing but numbers has changed.

        error: degrees and centimetres of the last answer from the truth, None before there is one.
        """
        counted = "registrations ok", "uncertain", "failed", "repairs"
        now = (said.word, *(str(said.count(name)) for name in counted),
               "" if said.deviation else re.sub(r"[\d.]+", "#", said.message))
        if now == self._shown:
            return ""
        self._shown = now
        level = f"{said.word:<5}"
        if self._colours:
            level = f"\033[{COLOURS.get(said.word, '0')}m{level}\033[0m"
        return f"    {seconds:5.1f} s  {level}  {self._words(said, error)}"

    def _words(self, said: Said, error: Error | None) -> str:
        """What the last valid answer means; the diagnostics' own words before there is one, and where it is not OK."""
        if said.deviation is None or said.word == "ERROR" or said.values.get("last result") != "ok":
            return said.message
        truth = f" (from the truth {in_words(error)})" if error else ""
        words = f"answer {said.count('registrations ok')}: {in_words(said.deviation)} from the reference{truth}"
        if said.count("repairs"):
            return f"{words}, repaired"
        return f"{words}, {said.count('agreeing answers')} of {self._needed} agree"


def in_words(error: Error) -> str:
    """`0.12 deg, 1.9 cm`."""
    return f"{error[0]:.2f} deg, {error[1]:.1f} cm"
