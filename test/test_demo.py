"""The parts of `make demo` that need no whole run: what it says, when it ends, what it does with bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crossi2p_ros.demo.course import Course, NotRepaired
from crossi2p_ros.demo.ending import Result, table
from crossi2p_ros.demo.live import Live
from crossi2p_ros.demo.programs import running
from crossi2p_ros.demo.said import Said

ROOT = Path(__file__).resolve().parent.parent
WELL = Result(start=(2.0, 10.0), found=(0.1, 1.0), status="ok", answers=4, pairs=50, seconds=33.3)


def said(level: int, answers: int, *, repairs: int = 0, agreeing: int = 0, deviation: float = 2.0) -> Said:
    """An active node with so many valid answers, the last one so many degrees (and as many cm) off."""
    values = {"state": "active", "last result": "ok", "registrations ok": str(answers), "repairs": str(repairs),
              "agreeing answers": str(agreeing), "pairs": "9"}
    if answers:
        values |= {"deviation rotation [deg]": f"{deviation:.3f}", "deviation translation [cm]": f"{deviation:.2f}"}
    return Said(level, "what it says", values)


def course(*messages: Said) -> Course:
    heard = Course(needed=3)
    for each in messages:
        heard.hear(each)
    return heard


REPAIR = (said(1, 2, agreeing=2), said(0, 3, repairs=1))


def test_the_repair_is_confirmed_by_a_later_answer_that_is_ok() -> None:
    assert not course(*REPAIR).confirmed and course(*REPAIR).repaired
    assert not course(*REPAIR, said(1, 4, repairs=1)).confirmed
    assert course(*REPAIR, said(0, 4, repairs=1)).confirmed
    assert not course(said(0, 4)).confirmed


@pytest.mark.parametrize(("messages", "words"), [
    ([], "no diagnostics came"),
    ([Said(0, "inactive", {"state": "inactive"})], "did not become active; the diagnostics say: OK, inactive"),
    ([Said(2, "no image yet", {"state": "active"})], "no pair of image and cloud came together; the diagnostics say: "
                                                     "ERROR, no image yet"),
    ([said(1, 0)], "no valid answer came"),
    ([said(1, 2, agreeing=2)], "2 of 3 answers agree so far"),
    ([*REPAIR, said(1, 4, repairs=1)], "no answer that is OK came after the repair; the diagnostics say: WARN, what"),
])
def test_it_tells_what_did_not_come(messages: list[Said], words: str) -> None:
    assert words in course(*messages).missing()


def test_a_line_comes_when_more_than_numbers_has_changed() -> None:
    live = Live(needed=3, colours=False)
    silent = Said(2, "no image for 3.0 s", {"state": "active"})
    assert "1.0 s  ERROR  no image for 3.0 s" in live.line(silent, 1.0, None)
    assert live.line(replace(silent, message="no image for 4.0 s"), 2.0, None) == ""
    assert live.line(said(1, 1, agreeing=1), 3.0, (0.1, 0.5)).endswith(
        "WARN   answer 1: 2.00 deg, 2.0 cm from the reference (from the truth 0.10 deg, 0.5 cm), 1 of 3 agree")
    assert live.line(said(1, 1, agreeing=1), 4.0, None) == ""
    assert live.line(said(0, 4, repairs=1, deviation=0.1), 5.0, None).endswith(
        "OK     answer 4: 0.10 deg, 0.1 cm from the reference, repaired")


def test_only_a_terminal_gets_colours() -> None:
    assert "\033[33mWARN \033[0m" in Live(3, colours=True).line(said(1, 1), 0.0, None)
    assert "\033" not in Live(3, colours=False).line(said(1, 1), 0.0, None)


@pytest.mark.parametrize(("change", "repaired"), [
    ({}, True), ({"status": "uncertain"}, False), ({"found": (2.1, 1.0)}, False), ({"found": (0.1, 10.0)}, False),
])
def test_repaired_is_what_is_believed_and_nearer_to_the_truth(change: dict, repaired: bool) -> None:
    result = replace(WELL, **change)
    assert result.repaired == repaired
    assert ("NOT repaired" not in table(result, {"YAML": [Path("a.yaml")]})) == repaired


def test_the_table_has_errors_counts_and_every_file() -> None:
    text = table(WELL, {"pictures": [Path("a.jpg"), Path("b.jpg")], "YAML": [Path("c.yaml")]})
    for words in ("2.000 deg      10.00 cm", "0.100 deg       1.00 cm   (ok)", "4 valid answers from 50 pairs", "33 s",
                  "pictures  a.jpg\n          b.jpg\nYAML      c.yaml"):
        assert words in text, text


def test_a_program_that_ends_by_itself_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    with running("bag_player", tmp_path / "nothing", log=tmp_path / "log") as program, pytest.raises(
            NotRepaired, match=r"bag_player ended by itself with exit code 2: .*\(all of it: "):
        program._process.wait(30)
        program.check()


def demo(*arguments: object, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """The demo's command line, as far as it gets without a node."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run([sys.executable, "-m", "crossi2p_ros.demo", *map(str, arguments)], text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": paths}, timeout=seconds)


@pytest.mark.parametrize("arguments", [("--seed", -1), ("--limit", 0), ("--limit", "nan")])
def test_bad_input_is_one_sentence(arguments: tuple) -> None:
    ended = demo(*arguments)
    assert ended.returncode == 2 and "a seed is 0 or more, a limit some seconds" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_is_no_bag_is_not_replaced(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="without ROS the demo writes no bag")
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "mine.txt").write_text("mine")
    ended = demo("--out", tmp_path)
    assert ended.returncode == 2 and "is no bag, so it is not replaced" in ended.stderr, ended.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["drive", "mine.txt"]


@pytest.mark.slow
def test_without_a_usable_ros_it_says_so_and_registers_by_the_command_line(tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy", reason="needs the wheels, which another ROS in front of them makes unusable")
    (tmp_path / "sourced" / "rclpy").mkdir(parents=True)
    (tmp_path / "sourced" / "rclpy" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "sourced"))
    ended = demo("--out", tmp_path / "out", seconds=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, remedy, *rest = ended.stdout.splitlines()
    assert "make clean demo ROS=wheels" in remedy
    assert "by the command line alone, without ROS: two ROS 2 at once" in first
    assert "4 ok, 0 uncertain, 0 failed" in "\n".join(rest) and (tmp_path / "out" / "report.json").is_file()
