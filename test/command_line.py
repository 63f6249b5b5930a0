"""Runs the command line inside the test process, as the executable would."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from crossi2p_core.cli import main


class Outcome(NamedTuple):
    """What a run leaves behind: its exit code, what it printed, what it complained about."""

    code: int
    out: str
    err: str


def crossi2p(*arguments: object) -> Outcome:
    """`crossi2p ARGUMENTS`; anything but a regular end, such as an exception of ours, fails the test."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["crossi2p", *map(str, arguments)])
        with _own_signals(), pytest.raises(SystemExit) as ended:
            main()
    return Outcome(ended.value.code or 0, out.getvalue(), err.getvalue())


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Exit code 2, nothing on stdout, and one sentence on stderr that holds all of `words`."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("crossi2p: ")
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """`main` sets a handler for its whole process; this process has tests to run afterwards."""
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
