"""Extrinsics on disk: what is written comes back, nothing saved is lost, bad content is named."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from crossi2p_core import atomic
from crossi2p_core.calibration_file import Extrinsic, read_calibration, read_extrinsic, write_calibration
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3


def transform(angle: float = 0.7) -> np.ndarray:
    return np.asarray(se3.exp_se3(np.array([0.3 * angle, -angle, 0.2, 0.1, -1.5, 2.0])))


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "new" / "extrinsic.yaml"
    covariance = np.diag(np.arange(1.0, 7)) * 1e-7
    given = Extrinsic(transform(), "cam_front", "top", covariance, "uncertain", "few edges", "drive: 'a'", "2024-05-01",
                      time_offset_s=-0.012)
    assert write_calibration(path, given) is None
    found = read_extrinsic(path)
    np.testing.assert_allclose(found.T_cam_lidar, given.T_cam_lidar, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.covariance, covariance)
    for name in ("camera_frame", "lidar_frame", "status", "reason", "source", "date", "time_offset_s"):
        assert getattr(found, name) == getattr(given, name)
    assert read_calibration(path).dtype == np.float64


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, -0.8, 0)])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.5, 3.0, np.pi - 1e-9, np.pi])
def test_the_quaternion_is_the_rotation(tmp_path: Path, axis: tuple[float, float, float], angle: float) -> None:
    R = se3.exp_so3(np.array(axis) * angle)
    write_calibration(tmp_path / "e.yaml", Extrinsic(se3.make(R, np.zeros(3))))
    x, y, z, w = yaml.safe_load((tmp_path / "e.yaml").read_text())["quaternion_xyzw"]
    by_formula = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    np.testing.assert_allclose(by_formula, R, atol=1e-7)
    read_calibration(tmp_path / "e.yaml")


def test_overwriting_keeps_every_former_file(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    texts = []
    for angle in (0.1, 0.2, 0.3, 0.4):
        write_calibration(path, Extrinsic(transform(angle)))
        texts.append(path.read_text())
    assert path.with_name("e.yaml.bak").read_text() == texts[2]
    kept = {p.read_text() for p in tmp_path.iterdir()}
    assert kept == set(texts) and len(list(tmp_path.iterdir())) == 4
    np.testing.assert_allclose(read_calibration(path), transform(0.4), atol=1e-12)


def test_the_same_result_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        assert write_calibration(tmp_path / "e.yaml", Extrinsic(transform())) is None
    assert [p.name for p in tmp_path.iterdir()] == ["e.yaml"]


@pytest.mark.parametrize("layout", [(4, 4), (16,), (3, 4), (12,)])
def test_plain_files_of_others_are_read(tmp_path: Path, layout: tuple[int, ...]) -> None:
    rows = transform()[: 3 if np.prod(layout) == 12 else 4].reshape(layout).tolist()
    for name, write in (("calib.json", json.dumps), ("calib.yaml", yaml.safe_dump)):
        (tmp_path / name).write_text(write({"K": [[1, 0], [0, 1]], "T_cam_lidar": rows}))
        np.testing.assert_allclose(read_calibration(tmp_path / name), transform(), atol=1e-12)


def test_real_calibrations_are_read(data_dir: Path) -> None:
    for path in sorted(data_dir.glob("rigs/*/*/calib.json"))[:3]:
        T = read_calibration(path)
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-9)


IDENTITY = np.eye(4).tolist()
MIRROR = np.diag([1.0, 1, -1, 1]).tolist()


@pytest.mark.parametrize(("content", "message"), [
    ({"K": 1}, "holds no T_cam_lidar"),
    ([1, 2], "holds no T_cam_lidar"),
    ({"T_cam_lidar": [[1, 0], [0, 1]]}, "four rows of four"),
    ({"T_cam_lidar": [[1, 0, 0, 0], [0, 1]]}, "not a table of numbers"),
    ({"T_cam_lidar": "eye"}, "not a table of numbers"),
    ({"T_cam_lidar": None}, "four rows of four|not a table|not finite"),
    ({"T_cam_lidar": MIRROR}, "T_cam_lidar of .*c.json"),
    ({"T_cam_lidar": np.zeros((4, 4)).tolist()}, "T_cam_lidar of .*c.json"),
    ({"T_cam_lidar": (2 * np.eye(4)).tolist()}, "T_cam_lidar of .*c.json"),
    ({"T_cam_lidar": (np.eye(4) * float("nan")).tolist()}, "not finite"),
    ({"T_cam_lidar": IDENTITY, "translation_m": [0, 0, 1]}, "translation_m and T_cam_lidar differ"),
    ({"T_cam_lidar": IDENTITY, "quaternion_xyzw": [0, 0.1, 0, 0.99]}, "quaternion_xyzw and T_cam_lidar differ"),
    ({"T_cam_lidar": IDENTITY, "covariance": [1, 2]}, "covariance .* has shape"),
    ({"T_cam_lidar": IDENTITY, "time_offset_s": 12}, "time_offset_s of .* no pairs"),
    ({"T_cam_lidar": IDENTITY, "time_offset_s": "soon"}, "time_offset_s .* not a table of numbers"),
])
def test_bad_content_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_calibration(path)


@pytest.mark.parametrize("text", ["", "{", "[[[", '{"T_cam_lidar": 1e999}', "\x00"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    for name in ("c.json", "c.yaml"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=name):
            read_calibration(tmp_path / name)


def test_an_unusable_result_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    write_calibration(path, Extrinsic(transform()))
    before = path.read_text()
    for bad in (Extrinsic(np.full((4, 4), np.nan)), Extrinsic(transform(), covariance=np.full((6, 6), np.nan))):
        with pytest.raises(InputError):
            write_calibration(path, bad)
    assert path.read_text() == before and len(list(tmp_path.iterdir())) == 1


def test_a_failed_registration_is_written_without_covariance(tmp_path: Path) -> None:
    given = Extrinsic(transform(), covariance=np.diag(np.full(6, np.inf)), status="failed", reason="the image is dark")
    write_calibration(tmp_path / "e.yaml", given)
    found = read_extrinsic(tmp_path / "e.yaml")
    assert found.covariance is None and found.status == "failed" and found.reason == "the image is dark"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        write_calibration(tmp_path / "file" / "e.yaml", Extrinsic(transform()))
    with pytest.raises(InputError, match="cannot write"):
        (tmp_path / "folder.yaml").mkdir()
        write_calibration(tmp_path / "folder.yaml", Extrinsic(transform()))
    assert not list((tmp_path / "folder.yaml").iterdir())
    with pytest.raises(InputError, match="cannot keep the former"):
        write_calibration(tmp_path / f"{300 * 'long'}.yaml", Extrinsic(transform()))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    atomic.write_text(tmp_path / "a.txt", "former")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        atomic.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "former" and len(list(tmp_path.iterdir())) == 1


def test_files_may_be_read_by_all_whom_the_umask_lets(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "a", "x")
    finally:
        os.umask(former)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_time_offset_of_seconds_is_refused_either_way(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write_calibration(path, Extrinsic(transform(), time_offset_s=0.5))
    for seconds in ("1.5", "-1.5"):
        (tmp_path / "b.yaml").write_text(path.read_text().replace("time_offset_s: 0.5", f"time_offset_s: {seconds}"))
        with pytest.raises(InputError, match="are no pairs"):
            read_extrinsic(tmp_path / "b.yaml")
