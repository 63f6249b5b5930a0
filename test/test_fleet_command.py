"""`crossi2p calibrate` of several recordings: a row for each vehicle, whatever becomes of the others."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import assert_refused, crossi2p

from crossi2p_core import weights
from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.commands import fleet
from crossi2p_core.commands.fleet import calibrate_fleet
from crossi2p_core.commands.rig import Rig
from crossi2p_core.commands.vehicles import folder_names
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3

SETTINGS = "candidates: 2\nframes: 2\nfolds: 0\nleast_frames: 1\n"
VEHICLES = [f"synthetic:street?seed={seed}&frames=2&camera=small&lidar=vlp16" for seed in (1, 2)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "settings.yaml"
    file.write_text(SETTINGS)
    return file


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with nothing in it."""
    return tmp_path_factory.mktemp("vehicles") / "empty"


@pytest.fixture(scope="module")
def done(settings: Path, broken: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], Path]:
    """The rows of two vehicles and a broken one between them, and the folder."""
    out = tmp_path_factory.mktemp("fleet")
    outcome = crossi2p("calibrate", VEHICLES[0], broken, VEHICLES[1], "--config", settings, "--weights", "none",
                       "--out", out, "--json")
    assert outcome.code == 1  # one has failed
    return json.loads(outcome.out), out


def test_there_is_a_row_for_each_in_their_order(done: tuple[list[dict], Path], broken: Path) -> None:
    rows, out = done
    assert [row["source"] for row in rows] == [VEHICLES[0], str(broken), VEHICLES[1]]
    assert rows[1]["status"] == "failed" and "empty" in rows[1]["reason"] and rows[1]["sigma_deg"] is None
    assert all(row["error_deg"] < 1 and row["frames_used"] == 2 for row in (rows[0], rows[2]))
    assert json.loads((out / "fleet.json").read_text()) == rows
    with (out / "fleet.csv").open() as file:
        assert [row["vehicle"] for row in csv.DictReader(file)] == [row["vehicle"] for row in rows]


def test_every_vehicle_has_its_own_files(done: tuple[list[dict], Path]) -> None:
    rows, out = done
    assert len({row["vehicle"] for row in rows}) == 3
    for row in (rows[0], rows[2]):
        se3.check_transform(read_calibration(out / row["vehicle"] / "extrinsic.yaml"), row["vehicle"])
        assert (out / row["vehicle"] / "report.html").is_file()


def test_what_is_done_is_not_done_again(done: tuple[list[dict], Path], settings: Path, broken: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    rows, out = done
    asked = []

    def note(rig: Rig) -> dict:
        asked.append(rig.source)
        raise AssertionError("not to be asked")

    monkeypatch.setattr(fleet, "calibrate_rig", note)
    again = [Rig(source, config=str(settings), weights="none") for source in (VEHICLES[0], str(broken), VEHICLES[1])]
    assert [row["status"] for row in calibrate_fleet(again, out)] == [row["status"] for row in rows]
    assert asked == [str(broken)]  # what failed is tried again
    settings_changed = [Rig(source, config=str(settings), weights="none", seed=5) for source in VEHICLES]
    calibrate_fleet(settings_changed, out)
    assert asked[1:] == VEHICLES


def calibrated(rig: Rig, status: str = "ok") -> dict:
    """Instead of `calibrate_rig`: the files that a fleet looks for, and a record."""
    assert rig.out is not None
    Path(rig.out).mkdir(parents=True, exist_ok=True)
    (Path(rig.out) / "report.json").write_text("{}")
    return {"cameras": [{"name": "camera", "status": status, "reason": "fits"}]}


def test_a_camera_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter(["failed", "ok"])
    monkeypatch.setattr(fleet, "calibrate_rig", lambda rig: calibrated(rig, next(told)))
    for status in ("failed", "ok", "ok"):  # the third is kept
        assert [row["status"] for row in calibrate_fleet([Rig("drive")], tmp_path)] == [status]


@pytest.mark.parametrize("shipped", ["SHIPPED", "SHIPPED_FLOW"])
def test_other_weights_of_the_package_are_another_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              shipped: str) -> None:
    asked, network = [], tmp_path / "network.safetensors"
    monkeypatch.setattr(fleet, "calibrate_rig", lambda rig: asked.append(rig.source) or calibrated(rig))
    monkeypatch.setattr(weights, shipped, network)
    for number, content in enumerate((b"one", b"one", b"another")):
        network.write_bytes(content)
        os.utime(network, ns=(number, number))
        calibrate_fleet([Rig("drive")], tmp_path / "out")
    assert len(asked) == 2


def test_a_row_that_cannot_be_kept_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "calibrate_rig", calibrated)
    (tmp_path / "drive" / fleet.ROW).mkdir(parents=True)
    rows = calibrate_fleet([Rig("drive"), Rig("other")], tmp_path)
    assert [row["status"] for row in rows] == ["failed", "ok"] and fleet.ROW in rows[0]["reason"]


def fated(name: str, rig: Rig) -> list[dict]:
    """Instead of `rows_of`, in a process: the first is killed as the kernel does where memory ends."""
    if name == "a":
        os.kill(os.getpid(), signal.SIGKILL)
    return [fleet._row(name, rig, {"name": "", "status": "ok", "reason": "lives"})]


def test_a_process_that_dies_takes_no_other_vehicle_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "rows_of", fated)
    rows = calibrate_fleet([Rig(name) for name in "abcd"], tmp_path, jobs=2)
    assert [row["status"] for row in rows] == ["failed", "ok", "ok", "ok"]
    assert "its process ended" in rows[0]["reason"]


def test_one_of_a_fleet_is_a_fleet_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "calibrate_rig", calibrated)
    for options in (("--jobs", 4), ("--ray", "local")):
        out = tmp_path / options[0]
        assert crossi2p("calibrate", "drive", *options, "--out", out).code == 0
        assert (out / "drive" / "report.json").is_file() and (out / "fleet.csv").is_file()


def test_another_recording_at_the_same_path_is_another_vehicle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    (drive / "0.bag").write_bytes(b"monday")
    asked = []
    monkeypatch.setattr(fleet, "calibrate_rig", lambda rig: asked.append(rig.source) or calibrated(rig))
    for _ in range(2):
        calibrate_fleet([Rig(str(drive))], tmp_path / "out")
    assert len(asked) == 1
    (drive / "0.bag").write_bytes(b"tuesday")
    calibrate_fleet([Rig(str(drive))], tmp_path / "out")
    assert len(asked) == 2


def test_a_recording_is_watched_and_made_whole_with_options_in_its_address(tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag.mcap").write_text("one drive")
    rig = fleet._from_anywhere(Rig("./bag?slop=0.1"))
    assert rig.source == f"{tmp_path / 'bag'}?slop=0.1"
    before = fleet._digest(rig)
    (tmp_path / "bag" / "bag.mcap").write_text("another drive")
    assert fleet._digest(rig) != before


def test_vehicles_of_before_stay_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"name": "", "status": "ok", "reason": "of a test"}

    def calibrated(rig: Rig) -> dict:
        if rig.source.endswith("mistyped"):
            raise InputError("there is no such recording")
        return {"cameras": [answer]}

    monkeypatch.setattr(fleet, "calibrate_rig", calibrated)
    for names in (("a", "b"), ("c", "mistyped"), ("b",)):
        calibrate_fleet([Rig(str(tmp_path / name)) for name in names], tmp_path / "out")
    told = json.loads((tmp_path / "out" / "fleet.json").read_text())
    assert sorted(row["vehicle"] for row in told) == ["a", "b", "c"] and told[0]["vehicle"] == "b"
    with (tmp_path / "out" / "fleet.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


def test_relative_paths_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(fleet, "rows_of", lambda name, rig: asked.append(rig) or [{"status": "ok"}])
    monkeypatch.setattr(fleet, "_write", lambda *_: None)
    calibrate_fleet([Rig("drive", config="settings.yaml", weights="none"), Rig(VEHICLES[0])], Path("out"))
    assert (asked[0].source, asked[0].config, asked[0].out, asked[0].weights) == (
        str(tmp_path / "drive"), str(tmp_path / "settings.yaml"), str(tmp_path / "out" / "drive"), "none")
    assert asked[1].source == VEHICLES[0]


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process_behind(ended_by: signal.Signals, tmp_path: Path) -> None:
    long = [f"synthetic:street?seed={seed}&frames=500&camera=small&lidar=vlp16" for seed in (1, 2)]
    run = subprocess.Popen([sys.executable, "-m", "crossi2p_core", "calibrate", *long, "--weights", "none", "--jobs",
                            "2", "--out", str(tmp_path)], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_until(lambda: len(_session(run.pid)) >= 3)
        run.send_signal(ended_by)  # to it alone, as `kill` does; a terminal tells all of them
        assert run.wait(60) == (130 if ended_by is signal.SIGINT else -signal.SIGKILL)
        _wait_until(lambda: not _session(run.pid))
    finally:
        if _session(run.pid):
            os.killpg(run.pid, signal.SIGKILL)


def _session(leader: int) -> list[str]:
    """The living processes of a session, by proc(5)."""
    stats = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append(file.read_text().rpartition(")")[2].split())
        except OSError:  # it ended in between
            continue
    return [stat[0] for stat in stats if int(stat[3]) == leader and stat[0] != "Z"]


def _wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "still waiting"
        time.sleep(0.1)


@pytest.mark.slow
def test_two_processes_say_the_same_as_one(done: tuple[list[dict], Path], settings: Path, tmp_path: Path) -> None:
    rigs = [Rig(source, config=str(settings), weights="none", device="cpu") for source in VEHICLES]
    rows = calibrate_fleet(rigs, tmp_path, jobs=2)
    alone = [done[0][0], done[0][2]]
    assert [row["vehicle"] for row in rows] == [row["vehicle"] for row in alone]
    assert [row["moved_deg"] for row in rows] == pytest.approx([row["moved_deg"] for row in alone], abs=1e-3)


def test_vehicles_of_one_name_get_folders_that_follow_from_their_paths(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(fleet, "calibrate_rig", lambda rig: asked.append(rig.source) or calibrated(rig))

    def names(*folders: str) -> list[str]:
        for each in folders:
            (tmp_path / each / "drive").mkdir(parents=True, exist_ok=True)
        return [row["vehicle"] for row in calibrate_fleet([Rig(str(tmp_path / each / "drive")) for each in folders],
                                                          tmp_path / "out")]

    assert names("b", "c") == ["b_drive", "c_drive"]
    assert names("a", "c", "b") == ["a_drive", "c_drive", "b_drive"]
    assert names("c") == ["c_drive"]
    assert names("x/a", "x/a", "b") == ["x_a_drive", "b_drive"]  # one that is named twice is one
    assert names("d") == ["drive"] == names("d") and names("d", "e") == ["drive", "e_drive"]
    assert len(asked) == 6  # each once


def test_topics_in_an_address_are_no_folders(tmp_path: Path) -> None:
    assert folder_names(["/a/drive?cloud_topic=/top/points"], tmp_path) == {"/a/drive?cloud_topic=/top/points": "drive"}
    both = folder_names([f"/a/drive?cloud_topic=/{side}/points" for side in ("left", "right")], tmp_path)
    assert len(set(both.values())) == 2 and all(name.startswith("drive_") for name in both.values())


def test_a_folder_of_another_recording_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "calibrate_rig", calibrated)
    for each in ("drive_2", "drive"):
        (tmp_path / each).mkdir()
        row = {"asked": "", "rows": [{"source": f"/once/{each}"}]}
        (tmp_path / each / fleet.ROW).write_text(json.dumps(row))
    assert folder_names(["/once/drive_2", "/new/drive", "drive"], tmp_path) == {
        "/once/drive_2": "drive_2", "/new/drive": "new_drive",
        "drive": f"drive_{hashlib.sha256(b'drive').hexdigest()[:12]}"}
    rows = calibrate_fleet([Rig("drive")], tmp_path)
    assert rows[0]["vehicle"].startswith("drive_") and rows[0]["status"] == "ok"
    assert json.loads((tmp_path / "drive" / fleet.ROW).read_text())["rows"] == [{"source": "/once/drive"}]


def test_what_is_wrong_for_all_is_refused(settings: Path, tmp_path: Path) -> None:
    assert_refused(crossi2p("calibrate", *VEHICLES), "--out")
    assert_refused(crossi2p("calibrate", *VEHICLES, "--out", tmp_path, "--search", "x"), "--search x")


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray_it_says_how_to_get_it(tmp_path: Path) -> None:
    assert_refused(crossi2p("calibrate", *VEHICLES, "--out", tmp_path, "--ray", "local"), "crossi2p_ros[ray]")


@pytest.mark.slow
def test_ray_says_the_same(done: tuple[list[dict], Path], settings: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'crossi2p_ros[ray]'")
    rigs = [Rig(source, config=str(settings), weights="none", device="cpu") for source in VEHICLES]
    rows = calibrate_fleet(rigs, tmp_path, ray="local")
    assert [row["moved_deg"] for row in rows] == pytest.approx([done[0][0]["moved_deg"], done[0][2]["moved_deg"]],
                                                               abs=1e-3)
