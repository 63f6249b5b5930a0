"""Any message at all is read rightly or refused in words: clouds, images and calibrations that hypothesis thinks up."""

from __future__ import annotations

import struct
from types import SimpleNamespace as Message
from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.datasets.messages.camera_info import camera_from_message
from crossi2p_core.datasets.messages.clouds import DATATYPES, cloud_from_message
from crossi2p_core.datasets.messages.images import _ENCODINGS, image_from_message
from crossi2p_core.datasets.messages.transforms import pose_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.types import Camera, PointCloud

LETTERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}  # PointField.datatype -> struct
NAMES = ("x", "y", "z", "intensity", "reflectivity", "i", "ring", "line", "channel", "time", "t", "timestamp",
         "timeOffset", "rgb", "", "X", "label")
SIZES = st.one_of(st.integers(0, 9), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]))
HEADER = Message(stamp=Message(sec=1_700_000_000, nanosec=5), frame_id="lidar")


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[Message], int]:
    """Fields in any order with gaps between them, x, y and z among them as float32 or float64; and the point_step."""
    others = draw(st.lists(st.sampled_from(("intensity", "ring", "label")), unique=True))
    fields, at = [], 0
    for name in draw(st.permutations(["x", "y", "z", *others])):
        datatype = draw(st.sampled_from((7, 8) if name in "xyz" else (2, 4, 7)))
        at += draw(st.integers(0, 3))
        fields.append(Message(name=name, offset=at, datatype=datatype, count=1))
        at += struct.calcsize(LETTERS[datatype])
    return fields, at + draw(st.integers(0, 5))


@settings(deadline=None)
@given(layout=layouts(), height=st.integers(1, 3), width=st.integers(1, 4), padding=st.integers(0, 9),
       big=st.booleans(), seed=st.integers(0, 999))
def test_a_cloud_of_any_layout_is_what_unpacking_byte_by_byte_gives(
        layout: tuple[list[Message], int], height: int, width: int, padding: int, big: bool, seed: int) -> None:
    fields, step = layout
    rng, order = np.random.default_rng(seed), ">" if big else "<"
    data = bytearray(rng.bytes(height * (width * step + padding)))
    points = []
    for row, column in np.ndindex(height, width):
        point: dict[str, float] = {}
        for field in fields:
            letter = LETTERS[field.datatype]
            value: Any = rng.integers(0, 200) if letter in "BH" else rng.choice([rng.normal(), np.nan, np.inf, 1e30],
                                                                                p=[0.94, 0.02, 0.02, 0.02])
            at = row * (width * step + padding) + column * step + field.offset
            struct.pack_into(order + letter, data, at, value.item())
            point[field.name] = struct.unpack_from(order + letter, data, at)[0]
        points.append(point)
    kept = [p for p in points if all(abs(p[axis]) < 1e5 for axis in "xyz")]
    message = Message(header=HEADER, height=height, width=width, fields=fields, is_bigendian=big, point_step=step,
                      row_step=width * step + padding, data=bytes(data), is_dense=False)
    if not kept:
        with_words(lambda: cloud_from_message(message, "here"))
        return
    cloud = cloud_from_message(message, "here")
    assert cloud.dropped == len(points) - len(kept)
    np.testing.assert_array_equal(cloud.xyz, np.array([[p[axis] for axis in "xyz"] for p in kept], np.float32))
    rings = [p.get("ring", np.nan) for p in points]
    if all(0 <= ring <= 65535 for ring in rings):
        np.testing.assert_array_equal(cloud.ring, [int(p["ring"]) for p in kept])
    else:
        assert cloud.ring is None


FIELDS = st.lists(st.builds(Message, name=st.sampled_from(NAMES), datatype=st.integers(0, 9), offset=SIZES,
                            count=st.integers(0, 3)), max_size=8)


@settings(deadline=None, max_examples=300)
@given(message=st.builds(Message, header=st.just(HEADER), height=SIZES, width=SIZES, fields=FIELDS,
                         is_bigendian=st.booleans(), point_step=SIZES, row_step=SIZES, data=st.binary(max_size=300),
                         is_dense=st.booleans()))
def test_a_cloud_that_lies_is_read_or_refused_in_words(message: Message) -> None:
    assert_sound(with_words(lambda: cloud_from_message(message, "here")))


@settings(deadline=None, max_examples=300)
@given(data=st.data(), names=st.lists(st.sampled_from(NAMES[3:]), unique=True), points=st.integers(1, 4),
       stamp=st.integers(0, 2**31 - 1))
def test_arbitrary_bytes_in_known_fields_make_a_sound_cloud(data: st.DataObject, names: list[str], points: int,
                                                            stamp: int) -> None:
    fields, at = [], 0
    for name in ("x", "y", "z", *names):
        datatype = data.draw(st.sampled_from(list(DATATYPES)))
        fields.append(Message(name=name, offset=at, datatype=datatype, count=1))
        at += np.dtype(DATATYPES[datatype]).itemsize
    content = data.draw(st.binary(min_size=points * at, max_size=points * at))
    message = Message(header=Message(stamp=Message(sec=stamp, nanosec=0), frame_id=""), height=1, width=points,
                      fields=fields, is_bigendian=False, point_step=at, row_step=points * at, data=content)
    assert_sound(with_words(lambda: cloud_from_message(message, "here")))


@settings(deadline=None, max_examples=300)
@given(message=st.builds(Message, height=SIZES, width=SIZES, encoding=st.sampled_from([*_ENCODINGS, "32FC1", ""]),
                         is_bigendian=st.integers(0, 255), step=SIZES, data=st.binary(max_size=300)))
def test_an_image_that_lies_is_read_or_refused_in_words(message: Message) -> None:
    pixels = with_words(lambda: image_from_message(message, "here"))
    if pixels is not None:
        assert pixels.shape == (message.height, message.width, 3) and pixels.dtype == np.uint8


@settings(deadline=None, max_examples=300)
@given(encoding=st.sampled_from(sorted(_ENCODINGS)), half_height=st.integers(1, 4), half_width=st.integers(1, 4),
       padding=st.integers(0, 9), big=st.booleans(), seed=st.integers(0, 99), cut=st.booleans())
def test_an_image_of_any_encoding_does_not_depend_on_its_padding(encoding: str, half_height: int, half_width: int,
                                                                 padding: int, big: bool, seed: int, cut: bool) -> None:
    height, width = 2 * half_height, 2 * half_width
    dtype, channels, _ = _ENCODINGS[encoding]
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width * channels), dtype)
    rows = values.astype(values.dtype.newbyteorder(">" if big else "<")).view(np.uint8)

    def read(padding: int, fill: int, cut: bool) -> np.ndarray:
        padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=fill)
        data = padded.tobytes()
        return image_from_message(Message(height=height, width=width, encoding=encoding, is_bigendian=int(big),
                                          step=padded.shape[1], data=data[:len(data) - padding] if cut else data), "")

    pixels = read(padding, 255, cut)
    assert pixels.shape == (height, width, 3)
    np.testing.assert_array_equal(pixels, read(0, 0, False))


PICTURE = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
WRITTEN = tuple(cv2.imencode(ending, PICTURE)[1].tobytes() for ending in (".png", ".jpg", ".bmp"))


@settings(deadline=None, max_examples=300)
@given(whole=st.sampled_from((b"", *WRITTEN)), keep=st.integers(0, 2000), tail=st.binary(max_size=40),
       flips=st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=5),
       kind=st.sampled_from(["png", "rgb8; jpeg compressed bgr8", "", "16UC1; compressedDepth png"]))
def test_a_compressed_image_that_lies_is_read_or_refused_in_words(whole: bytes, keep: int, tail: bytes,
                                                                  flips: list[tuple[int, int]], kind: str) -> None:
    data = bytearray(whole[:keep] + tail)
    for at, value in flips:
        if at < len(data):
            data[at] = value
    pixels = with_words(lambda: image_from_message(Message(format=kind, data=bytes(data)), "here"))
    assert pixels is None or (pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3)
    if bytes(data) == whole and whole:
        assert (pixels is None) == ("Depth" in kind)


NUMBERS = st.one_of(st.floats(-1e4, 1e4), st.sampled_from([0.0, float("nan"), float("inf"), 1e300]))


@settings(deadline=None, max_examples=300)
@given(width=SIZES, height=SIZES, K=st.lists(NUMBERS, min_size=9, max_size=9), D=st.lists(NUMBERS, max_size=15),
       P=st.lists(NUMBERS, min_size=12, max_size=12), binning=st.tuples(SIZES, SIZES), rectified=st.booleans(),
       roi=st.builds(Message, x_offset=SIZES, y_offset=SIZES, width=SIZES, height=SIZES),
       model=st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "thin_prism"]),
       good_K=st.booleans())
def test_a_calibration_that_lies_is_read_or_refused_in_words(
        width: int, height: int, K: list[float], D: list[float], P: list[float], binning: tuple[int, int],
        rectified: bool, roi: Message, model: str, good_K: bool) -> None:
    info = Message(width=width, height=height, k=[500, 0, 3, 0, 500, 3, 0, 0, 1] if good_K else K, d=D, p=P,
                   distortion_model=model, binning_x=binning[0], binning_y=binning[1], roi=roi)
    camera = with_words(lambda: camera_from_message(info, 8, 6, rectified, "here"))
    if camera is not None:
        assert isinstance(camera, Camera) and (camera.width, camera.height) == (8, 6)
        assert np.isfinite(camera.K).all() and camera.K[0, 0] > 0


@settings(deadline=None)
@given(numbers=st.lists(NUMBERS, min_size=7, max_size=7), covariance=st.lists(NUMBERS, min_size=36, max_size=36))
def test_a_pose_that_lies_is_read_or_refused_in_words(numbers: list[float], covariance: list[float]) -> None:
    x, y, z, *q = numbers
    pose = Message(position=Message(x=x, y=y, z=z), orientation=Message(**dict(zip("xyzw", q, strict=True))))
    found = with_words(lambda: pose_from_message(Message(pose=Message(pose=pose, covariance=covariance)), "here"))
    if found is not None:
        assert np.isfinite(found[0]).all() and (found[1] is None or np.isfinite(found[1]).all())


def with_words(read: Any) -> Any:
    """What `read` gives, or None where it refuses with a sentence; any other error fails the test."""
    try:
        return read()
    except InputError as error:
        assert len(str(error)) > 10
        return None


def assert_sound(cloud: PointCloud | None) -> None:
    """Finite and in its units, whatever the bytes were."""
    if cloud is None:
        return
    assert len(cloud) and np.isfinite(cloud.xyz).all() and np.abs(cloud.xyz).max() <= 1e5
    assert cloud.intensity is None or (cloud.intensity.min() >= 0 and cloud.intensity.max() <= 1)
    assert cloud.ring is None or (cloud.ring.min() >= 0 and cloud.ring.max() <= 65535)
    assert cloud.time is None or np.isfinite(cloud.time).all()
