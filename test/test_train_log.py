"""The log of a run: exact JSON whatever happens, a bar for those who watch, lines for files."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import pytest

from crossi2p_core.errors import InputError
from crossi2p_core.train import log
from crossi2p_core.train.log import RunLog

NUMBERS = {"loss.alignment": 1.5, "coarse_recall": 0.25, "lr": 1e-3}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_numbers_and_sentences_are_lines_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, 0, 10) as run:
        run.step(0, NUMBERS | {"gradient": math.nan, "loss.pose": math.inf})
        run.say(0, "something to read")
    step, note = lines_of(tmp_path)
    assert {name: step[name] for name in NUMBERS} == NUMBERS and step["gradient"] is None and step["loss.pose"] is None
    assert note["note"] == "something to read" and note["step"] == 0
    assert "crossi2p: step 0: something to read" in capsys.readouterr().err


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, 10) as run:
        for step in range(6):
            run.step(step, NUMBERS)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "los')  # a crash in the middle of a line
    with RunLog(tmp_path, 4, 10) as run:
        run.step(4, NUMBERS)
    assert [line["step"] for line in lines_of(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_terminal_sees_a_bar_with_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with RunLog(tmp_path, 0, 10) as run:
        run.step(6, NUMBERS)
        run.say(6, "take [care] of this")
    assert "7/10" in terminal.getvalue() and "alignment 1.5 coarse_recall 0.25" in terminal.getvalue()
    assert "take [care] of this" in terminal.getvalue()


def test_a_file_gets_a_line_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(log, "LINE_EVERY_S", 0.0)
    with RunLog(tmp_path, 5, 10) as run:
        run.step(5, NUMBERS)
    assert "crossi2p: step 6 of 10, 0 min left: alignment 1.5 coarse_recall 0.25" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        RunLog(tmp_path, 0, 10)
