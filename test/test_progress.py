"""Progress bars: only on a terminal, only for those who wait, never on stdout."""

from __future__ import annotations

import io
import sys
import time

import pytest

from crossi2p_core.commands import progress as module


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, patience: float) -> str:
    """What `progress` writes on stderr = `stream` while three steps take a third of a second."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "PATIENCE_S", patience)
    monkeypatch.setenv("TERM", "xterm")
    with module.progress("Registering") as advance:
        for done in range(1, 4):
            time.sleep(0.12)
            advance(done, 3)
    return stream.getvalue()


def test_a_bar_for_those_who_wait(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Registering" in drawn(monkeypatch, Terminal(), patience=0.1)
    assert capsys.readouterr().out == ""


def test_nothing_for_quick_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Registering" not in drawn(monkeypatch, Terminal(), patience=30)


def test_nothing_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, io.StringIO(), patience=0.0) == ""
