"""Whatever is wrong with the input: exit code 2, one sentence, no traceback, nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import assert_refused, crossi2p

WIDTH, HEIGHT = 160, 96
K = [[120.0, 0, 79.5], [0, 120.0, 47.5], [0, 0, 1]]
T_CAM_LIDAR = [[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.2], [0, 0, 0, 1]]
NOBODY = 65534


def write_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({"K": K, "width": WIDTH, "height": HEIGHT, "T_cam_lidar": T_CAM_LIDAR} | changes))


def write_cloud(path: Path, value: float | None = None) -> None:
    points = np.random.default_rng(0).uniform([4, -8, -2, 0], [30, 8, 3, 1], (500, 4)).astype(np.float32)
    if value is not None:
        points[:, :3] = value
    points.tofile(path)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.fixture()
def pair() -> Iterator[Path]:
    """A sound pair of image, cloud and calibration, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pair-"))
    folder.chmod(0o755)
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(folder / "image.png"), image)
    write_cloud(folder / "cloud.bin")
    write_json(folder / "calib.json")
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read and write anything; permissions are only felt without those rights."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated PNG": (lambda p: cut(p / "image.png", 900), "image.png"),
    "no image at all": (lambda p: (p / "image.png").write_text("hello"), "image.png"),
    "bin of odd size": (lambda p: cut(p / "cloud.bin", 1001), "cloud.bin"),
    "empty cloud": (lambda p: cut(p / "cloud.bin", 0), "cloud.bin"),
    "NaN points": (lambda p: write_cloud(p / "cloud.bin", np.nan), "cloud.bin"),
    "infinite points": (lambda p: write_cloud(p / "cloud.bin", np.inf), "cloud.bin"),
    "K = 0": (lambda p: write_json(p / "calib.json", K=[[0.0] * 3] * 3), "calib.json"),
    "missing K": (lambda p: (p / "calib.json").write_text('{"width": 160}'), "calib.json"),
    "half a calib": (lambda p: cut(p / "calib.json", 40), "calib.json"),
    "image size is not K's": (lambda p: write_json(p / "calib.json", width=1242, height=375), "1242x375"),
    "R is no rotation": (lambda p: write_json(p / "calib.json", T_cam_lidar=np.diag([2.0, 1, 1, 1]).tolist()),
                         "rotation"),
    "T of NaN": (lambda p: write_json(p / "calib.json", T_cam_lidar=[[float("nan")] * 4] * 4), "calib.json"),
    "distortion of the wrong length": (lambda p: write_json(p / "calib.json", D=[0.1], distortion_model="plumb_bob"),
                                       "calib.json"),
}


@pytest.mark.parametrize("command", ["register", "prepare", "view"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pair(pair: Path, tmp_path: Path, command: str, damage: str) -> None:
    harm, word = DAMAGES[damage]
    harm(pair)
    target = tmp_path / "results" / ("picture.png" if command == "view" else "out")
    arguments = [target] if command == "prepare" else ["--out", target]
    assert_refused(crossi2p(command, pair, *arguments), word)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert command == "prepare" or list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("file", "line"), [("calib_velo_to_cam.txt", "R:"), ("calib_cam_to_cam.txt", "P_rect_02:")])
def test_missing_line_in_kitti_calibration(tmp_path: Path, data_dir: Path, file: str, line: str) -> None:
    source = data_dir / "kitti_raw" / "2011_09_26"
    drive = tmp_path / "2011_09_26_drive_0000_sync"
    drive.mkdir()
    for folder in (source / drive.name).iterdir():
        (drive / folder.name).symlink_to(folder.resolve())
    for calibration in source.glob("calib_*.txt"):
        lines = calibration.read_text().splitlines(keepends=True)
        kept = [text for text in lines if calibration.name != file or not text.startswith(line)]
        (tmp_path / calibration.name).write_text("".join(kept))
    assert_refused(crossi2p("register", drive), file, line.rstrip(":"))


@pytest.mark.parametrize("name", ["drive.bag", "drive.mcap", "drive.db3"])
def test_a_bag_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a bag")
    assert_refused(crossi2p("info", tmp_path / name), name)


def test_unreadable_folder(pair: Path) -> None:
    assert crossi2p("info", pair).code == 0
    (pair / "cloud.bin").chmod(0)
    with ordinary_user():
        assert_refused(crossi2p("register", pair), "cloud.bin")
    pair.chmod(0)
    with ordinary_user():
        assert_refused(crossi2p("info", pair), str(pair))
    pair.chmod(0o755)


@pytest.mark.parametrize("command", ["register", "prepare", "view", "synth"])
def test_no_permission_to_write(pair: Path, command: str) -> None:
    closed = pair / "closed"
    closed.mkdir(0o555)
    target = closed / "picture.png" if command == "view" else closed / "out"
    arguments = {"prepare": [pair, target], "synth": [target, "--frames", "1"]}.get(command, [pair, "--out", target])
    with ordinary_user():
        assert_refused(crossi2p(command, *arguments), str(closed))
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize("command", ["register", "prepare", "synth"])
def test_a_file_where_the_results_should_go(pair: Path, tmp_path: Path, command: str) -> None:
    target = tmp_path / "taken"
    target.write_text("mine")
    arguments = {"prepare": [pair, target], "synth": [target, "--frames", "1"]}.get(command, [pair, "--out", target])
    assert_refused(crossi2p(command, *arguments), str(target))
    assert target.read_text() == "mine"


@pytest.mark.parametrize("options", [
    ("--perturb", "2"), ("--perturb", "2,20", "--init", "calib.json"), ("--seed", "-1"), ("--search", "x,y"),
    ("--frames", "7"), ("--init", "missing.yaml"), ("--camera", "image_03"), ("--config", "missing.yaml"),
    ("--device", "toaster"),
])
def test_options_that_make_no_sense(pair: Path, options: tuple[str, ...]) -> None:
    assert_refused(crossi2p("register", pair, *options))


def test_a_guess_that_is_no_transform(pair: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "guess.json", T_cam_lidar=np.diag([1.0, 1, -1, 1]).tolist())
    assert_refused(crossi2p("register", pair, "--init", tmp_path / "guess.json"), "guess.json", "rotation")


def test_a_picture_of_an_unknown_format(pair: Path, tmp_path: Path) -> None:
    assert_refused(crossi2p("view", pair, "--out", tmp_path / "picture.docx"), "picture.docx")
    assert list(tmp_path.iterdir()) == []


def test_worlds_that_do_not_exist(tmp_path: Path) -> None:
    assert_refused(crossi2p("synth", tmp_path / "out", "--world", "moon"), "moon")
    assert_refused(crossi2p("synth", tmp_path / "out", "--frames", "0"), "--frames")
    assert list(tmp_path.iterdir()) == []
