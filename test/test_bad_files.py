"""Damaged and hostile images, calibrations and indices: always one InputError that names them, nothing else."""

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings as rec

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.clouds import read_cloud
from crossi2p_core.datasets.images import decode_image, read_image
from crossi2p_core.errors import InputError


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_image_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"image{ending}"
    expected = rec.write_image(path, size=(320, 200))
    assert np.abs(read_image(path).astype(int) - expected).mean() < (0.001 if ending == ".png" else 6)
    data = path.read_bytes()
    path.write_bytes(data[:int(share * len(data))])
    with pytest.raises(InputError, match="image"):
        read_image(path)


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path: Path) -> None:
    rec.write_image(tmp_path / "image.png", size=(320, 200))
    data = bytearray((tmp_path / "image.png").read_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(InputError, match="damaged"):
        decode_image(bytes(data), "image.png")


def test_a_jpeg_with_a_preview_is_not_taken_for_complete() -> None:
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8))[1].tobytes()
    preview = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    data = whole[:2] + segment + whole[2:]
    assert decode_image(data + b"\0" * 16, "image.jpg").shape == (80, 80, 3)  # padding at the end is harmless
    with pytest.raises(InputError, match="truncated"):
        decode_image(data[:-200], "image.jpg")


def test_a_png_that_promises_too_much() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    huge = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(InputError):
        decode_image(data, "huge.png")


def test_a_folder_or_nothing_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.bin").mkdir()
    for name in ("a.png", "none.png"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name)
    for name in ("a.bin", "none.pcd", "none.xyz"):
        with pytest.raises(InputError, match=name):
            read_cloud(tmp_path / name)


NOT_A_ROTATION = np.diag([1.0, 1, -1, 1]).tolist()
BAD_VALUES = [
    ("K", None), ("K", np.zeros((3, 3)).tolist()), ("K", [[1, 2], [3]]), ("K", "K"), ("K", [["1"] * 3] * 3),
    ("K", [[float("nan")] * 3] * 3), ("K", [[10**400] * 3] * 3), ("K", [[1e999] * 3] * 3), ("K", {"fx": 1}),
    ("D", "none"), ("D", [float("nan")]), ("D", [1] * 3), ("distortion_model", 5), ("distortion_model", "magic"),
    ("width", 0), ("width", -5), ("width", 64.5), ("width", "64"), ("width", 10**30), ("width", True), ("width", 65),
    ("T_cam_lidar", NOT_A_ROTATION), ("T_cam_lidar", np.zeros((4, 4)).tolist()), ("T_cam_lidar", [1, 2, 3]),
    ("T_cam_lidar", [[float("inf")] * 4] * 4), ("T_cam_lidar", "identity"), ("T_cam_lidar", []), ("T_cam_lidar", False),
    ("stamp_image", "noon"), ("stamp_image", [1, 2]), ("T_world_lidar", NOT_A_ROTATION),
]


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
@pytest.mark.parametrize("layout", ["pairs", "compact"])
def test_hostile_calibration_values(tmp_path: Path, key: str, value: object, layout: str) -> None:
    folder = rec.write_pair(tmp_path / "pair")
    calibration = json.loads((folder / "calib.json").read_text())
    changed = calibration | {key: value} | ({"distortion_model": "plumb_bob"} if key == "D" else {})
    if layout == "pairs":
        (folder / "calib.json").write_text(json.dumps(changed))
    else:
        (folder / "image.jpg").rename(tmp_path / "pair.jpg")
        np.savez(tmp_path / "pair.npz", xyz_5mm=np.ones((5, 3), np.int16))
        (tmp_path / "index.json").write_text(json.dumps({"pair": changed}))
    source = open_source(folder if layout == "pairs" else tmp_path)
    with pytest.raises(InputError, match=r"pair|calib\.json") as caught:
        source[0]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\xff\xfe", '{"K": ' + "[" * 20000,
                                  '{"K": ' + "9" * 5000 + "}"])
def test_files_that_are_no_json_object(tmp_path: Path, text: str) -> None:
    folder = rec.write_pair(tmp_path / "pair")
    (folder / "calib.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"calib\.json"):
        open_source(folder)[0]
    (folder / "calib.json").unlink()
    with pytest.raises(InputError, match=r"calib\.json"):
        open_source(folder)[0]


@pytest.mark.parametrize("index", [{}, {"a": None}, {"a": [1]}, {"a": {}}, {"a": {"K": 1}}])
def test_hostile_indices(tmp_path: Path, index: dict) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError):
        open_source(tmp_path)[0]


@pytest.mark.parametrize("arrays", [
    {}, {"xyz": np.ones((5, 3))}, {"xyz_5mm": np.ones((5, 3))}, {"xyz_5mm": np.ones((5, 2), np.int16)},
    {"xyz_5mm": np.zeros((0, 3), np.int16)}, {"xyz_5mm": np.ones((5, 3), np.int16), "intensity": np.ones(4, np.uint8)},
    {"xyz_5mm": np.ones((5, 3), np.int16), "intensity": np.ones(5)},
])
def test_hostile_compact_clouds(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    calibration = json.loads((rec.write_pair(tmp_path / "pair") / "calib.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({"a": calibration}))
    rec.write_image(tmp_path / "a.jpg")
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=r"a\.npz"):
        open_source(tmp_path)[0]
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.npz"):
        open_source(tmp_path)[0]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_pictures_of_more_bits_are_not_dark(tmp_path: Path, bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint8 if bits == 8 else np.uint16)
    cv2.imwrite(str(tmp_path / "ramp.png"), np.tile(ramp, (4, 1)))
    image = read_image(tmp_path / "ramp.png")
    assert image.dtype == np.uint8 and image.shape == (4, 64, 3) and image.min() == 0 and image.max() == 255
