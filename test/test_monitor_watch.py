"""The watch: one state after another, in words, over a restart."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.evidence import Evidence, cannot_tell, evidence_of
from crossi2p_core.monitor.state_file import read_watch, write_watch
from crossi2p_core.monitor.states import MISFITS, State, differs
from crossi2p_core.monitor.watch import Said, Watch
from crossi2p_core.types import Registration

SIGMA = np.array([math.radians(0.12)] * 3 + [0.015] * 3)
TURN = np.array([0.0, math.radians(1.0), 0, 0, 0, 0])
T = se3.make(se3.exp_so3(np.array([0.1, 1.2, -0.3])), np.array([0.1, -0.2, 0.3]))


def drive(watch: Watch, count: int, move: np.ndarray | None = None, seed: int = 0, doubt: float = 0.01) -> list[Said]:
    """Frames of a camera that is `move` from where the watch has it."""
    rng = np.random.default_rng(seed)
    off = np.zeros(6) if move is None else move
    return [watch.observe(Evidence(f"{seed}-{number}", off + SIGMA * rng.normal(size=6), np.diag(SIGMA**2),
                                   doubt=doubt)) for number in range(count)]


def test_from_nothing_known_to_calibrated() -> None:
    watch = Watch(T)
    said = drive(watch, 20)
    assert said[0].state is State.UNKNOWN and "cannot tell yet: 1 of 3 usable frames" in said[0].words
    assert said[-1].state is State.CALIBRATED and "moved by less than" in said[-1].words
    assert sum(one.changed for one in said) == 1


def test_a_move_is_suspected_told_and_stays_told() -> None:
    watch = Watch(T)
    drive(watch, 20)
    said = drive(watch, 14, TURN, seed=1)
    states = [one.state for one in said]
    assert State.DECALIBRATED in states[:8] and set(states[8:]) == {State.DECALIBRATED}
    assert said[-1].since in ("0-19", "1-0", "1-1") and said[-1].moved[0] == pytest.approx(1.0, abs=0.15)
    assert "turned by" in said[-1].words and f"since {said[-1].since}" in said[-1].words
    seen = watch.where()
    assert se3.rotation_error_deg(seen.T, se3.exp_se3(TURN) @ T) < 0.15 and 13 <= seen.frames <= 16
    xi = se3.log_se3(se3.exp_se3(TURN) @ T @ se3.inverse(seen.T))
    assert xi @ np.linalg.solve(seen.covariance, xi) < 4.5**2
    with pytest.raises(InputError, match="no frames tell"):
        Watch(T).where()


def test_an_alarm_goes_after_calm_frames_and_not_before() -> None:
    config = MonitorConfig(window=10, calm=10)
    watch = Watch(T, config)
    drive(watch, 12)
    drive(watch, 9, TURN, seed=1)
    assert watch.state is State.DECALIBRATED
    states = [one.state for one in drive(watch, 40, seed=2)]
    back = states.index(State.CALIBRATED)
    assert back >= 10 and set(states[:back]) == {State.DECALIBRATED} and set(states[back:]) == {State.CALIBRATED}


def test_a_repair_is_confirmed_by_new_frames_alone() -> None:
    watch = Watch(T)
    drive(watch, 20)
    drive(watch, 10, TURN, seed=1)
    watch.accept(watch.where().T)
    assert watch.state is State.REPAIRED
    said = drive(watch, 15, seed=2)
    assert said[0].state is State.REPAIRED and said[-1].state is State.CALIBRATED


def test_frames_that_cannot_tell_make_it_unknown_but_take_no_alarm_back() -> None:
    config = MonitorConfig(blind_after=5)
    watch = Watch(T, config)
    drive(watch, 20)
    said = [watch.observe(cannot_tell(str(i), "the image is too dark")) for i in range(6)]
    assert said[3].state is State.CALIBRATED and said[4].state is State.UNKNOWN
    assert "cannot tell" in said[4].words and "too dark" in said[4].words
    assert drive(watch, 3, seed=1)[-1].state is State.CALIBRATED
    drive(watch, 10, TURN, seed=2)
    assert [watch.observe(cannot_tell(str(i), "fog")) for i in range(30)][-1].state is State.DECALIBRATED


def test_frames_that_show_enough_and_fit_nowhere_are_suspicious() -> None:
    watch = Watch(T)
    drive(watch, 20)
    said = [watch.observe(Evidence(str(i), None, None, "nothing fits", misfit=True)) for i in range(30)]
    assert said[MISFITS - 2].state is State.CALIBRATED and said[MISFITS - 1].state is State.SUSPECT
    assert said[-1].state is State.SUSPECT and said[-1].since is None and "search farther" in said[-1].words
    drive(watch, 10, TURN, seed=1)
    for number in range(MISFITS):
        watch.observe(Evidence(str(number), None, None, "nothing fits", misfit=True))
    with pytest.raises(InputError, match="no frames tell"):  # what was known before says nothing any more
        watch.where()


@pytest.mark.parametrize(("degrees", "sigmas", "told"), [(1.0, 1.0, True), (0.2, 1.0, False), (1.0, 20.0, False)])
def test_another_calibration_differs_if_that_matters_and_is_no_accident(degrees: float, sigmas: float,
                                                                        told: bool) -> None:
    other = se3.exp_se3(degrees * TURN) @ T
    assert differs(other, np.diag((0.1 * sigmas * SIGMA)**2), T, MonitorConfig()) is told


def test_doubts_alone_raise_an_alarm_but_tell_no_amount() -> None:
    watch = Watch(T)
    drive(watch, 20)
    said = drive(watch, 15, seed=1, doubt=0.35)
    assert said[-1].state is State.DECALIBRATED and said[-1].since is None and math.isnan(said[-1].moved[0])
    assert said[-1].words == "off, by an amount that the frames leave open" and said[-1].doubted == "1-0"
    with pytest.raises(InputError, match="no frames tell"):
        watch.where()


@pytest.mark.parametrize("frames", [20, 100])
def test_an_alarm_of_an_hour_goes_as_soon_as_one_of_a_minute(frames: int) -> None:
    watch = Watch(T)
    drive(watch, frames, doubt=0.35)
    assert watch.state is State.DECALIBRATED
    assert drive(watch, 20, seed=2)[-1].state is State.CALIBRATED


def registration(status: str, convincing: bool, covariance: np.ndarray | None = None) -> Registration:
    C = np.diag(SIGMA**2) if covariance is None else covariance
    return Registration(se3.exp_se3(TURN) @ T, C, status, "why", -1.0, -2.0, doubt_before=0.3, convincing=convincing)


def test_evidence_is_what_convinces() -> None:
    ok, unsure = (evidence_of("a", registration(status, True), T) for status in ("ok", "uncertain"))
    np.testing.assert_allclose(ok.xi, TURN, atol=1e-12)
    np.testing.assert_allclose(unsure.covariance, 2 * ok.covariance)
    weak = evidence_of("a", registration("uncertain", False), T)
    assert not weak.usable and weak.misfit and math.isnan(weak.doubt)
    assert not evidence_of("a", registration("ok", True, np.full((6, 6), np.inf)), T).usable
    dark = Registration(T, np.eye(6), "failed", "the image is too dark")
    assert not evidence_of("a", dark, T).usable and not evidence_of("a", dark, T).misfit


def test_what_is_known_survives_a_restart(tmp_path: Path) -> None:
    watch, path = Watch(T), tmp_path / "deep" / "watch.json"
    drive(watch, 20)
    drive(watch, 4, TURN, seed=1, doubt=0.1)
    write_watch(path, watch)
    again = read_watch(path, T)
    assert again is not None and watch.to_dict() == json.loads(path.read_text())
    np.testing.assert_allclose(again.T_in_use, watch.T_in_use, atol=1e-14)
    assert {name: value for name, value in again.to_dict().items() if name != "T_cam_lidar"} == {
        name: value for name, value in watch.to_dict().items() if name != "T_cam_lidar"}
    one, other = drive(watch, 5, TURN, seed=2), drive(again, 5, TURN, seed=2)
    assert [each.words for each in one] == [each.words for each in other]
    assert read_watch(tmp_path / "none.json", T) is None


def test_the_state_of_another_calibration_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "watch.json"
    write_watch(path, Watch(T))
    assert read_watch(path, se3.exp_se3(TURN) @ T) is None and "another calibration" in capsys.readouterr().err


@pytest.mark.parametrize("change", [
    {"format": "other"}, {"T_cam_lidar": [[1, 2], [3, 4]]}, {"state": "fine"}, {"frames": "many"}, {"evidence": 3},
    {"evidence": [{"name": "a", "xi": [1, 2], "covariance": []}]}, {"doubts": None}, {"calm": []},
    {"doubts": math.inf}, {"doubts": math.nan}, {"doubts": -1.0}, {"calm": math.inf}, {"frames": -1}, {"misfits": 1.5},
    {"evidence": [{"name": "a", "xi": [0] * 6, "covariance": (-np.eye(6)).tolist()}]}])
def test_a_damaged_state_is_refused_in_words(change: dict, tmp_path: Path) -> None:
    watch, path = Watch(T), tmp_path / "watch.json"
    drive(watch, 5)
    path.write_text(json.dumps(watch.to_dict() | change))
    with pytest.raises(InputError):
        read_watch(path, T)


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the state of the watch is not kept: cannot write"):
        write_watch(tmp_path / "file" / "watch.json", Watch(T))


@pytest.mark.parametrize("name", ["watch.json", "watch.state"])
def test_the_largest_window_is_read_again(name: str, tmp_path: Path) -> None:
    config = MonitorConfig(window=500)
    watch, rng = Watch(T, config), np.random.default_rng(0)
    for number in range(500):
        spread = np.diag(SIGMA) @ rng.normal(size=(6, 6))
        covariance = spread @ spread.T + np.diag(SIGMA**2)
        watch._test.take(Evidence(f"2011_09_26_drive_0001_sync/{number:010}", SIGMA, covariance))
    write_watch(tmp_path / name, watch)
    again = read_watch(tmp_path / name, T, config)
    assert again is not None and again.to_dict()["evidence"] == watch.to_dict()["evidence"]


def test_a_window_that_could_never_hold_enough_is_refused() -> None:
    with pytest.raises(InputError, match=r"least_frames \(10\) is more than the window \(5\)"):
        MonitorConfig(least_frames=10, window=5)


def misfits(watch: Watch, count: int) -> list[Said]:
    return [watch.observe(Evidence(str(k), None, None, "nothing fits", misfit=True)) for k in range(count)]


def test_what_cannot_be_told_does_not_part_misfits() -> None:
    watch = Watch(T)
    drive(watch, 20)
    misfits(watch, MISFITS - 1)
    for k in range(3):
        watch.observe(cannot_tell(str(k), "fog"))
    assert not watch.standing.lost
    misfits(watch, 1)
    assert watch.standing.lost and watch.state is State.SUSPECT


def test_suspicion_before_anything_was_known_ends_in_the_unknown() -> None:
    watch = Watch(T)
    misfits(watch, MISFITS)
    assert watch.state is State.SUSPECT
    drive(watch, 1)
    assert watch.state is State.UNKNOWN


def test_an_amount_of_before_is_not_told_once_nothing_fits() -> None:
    watch = Watch(T)
    drive(watch, 20)
    drive(watch, 10, TURN, seed=1)
    last = misfits(watch, MISFITS + 2)[-1]
    assert last.state is State.DECALIBRATED and last.since is None and math.isnan(last.moved[0])


def test_frames_that_tell_little_take_no_alarm_back() -> None:
    watch = Watch(T, MonitorConfig(window=10, calm=5))
    drive(watch, 12)
    drive(watch, 9, TURN, seed=1)
    assert watch.state is State.DECALIBRATED
    for k in range(30):
        watch.observe(Evidence(str(k), np.zeros(6), np.diag((20 * SIGMA)**2), doubt=0.01))
    assert watch.standing.calm >= 5 and watch.state is State.DECALIBRATED


def test_no_alarm_before_as_many_frames_as_were_asked_for() -> None:
    watch = Watch(T, MonitorConfig(least_frames=30))
    assert State.DECALIBRATED not in {said.state for said in drive(watch, 20, doubt=0.9)}
