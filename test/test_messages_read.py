"""ROS messages to cameras, clouds and images, from plain objects that only look like messages."""

from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossi2p_core.datasets.messages.camera_info import beside_its_frame, camera_from_message, is_rectified_topic
from crossi2p_core.datasets.messages.clouds import cloud_from_message
from crossi2p_core.datasets.messages.images import image_from_message
from crossi2p_core.datasets.messages.stamps import stamp_ns
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.errors import InputError

STAMP = 1_700_000_000_123_456_789
PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def header(stamp: int = STAMP) -> Message:
    return Message(stamp=Message(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id="x")


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Message:
    """pixels (H, W) or (H, W, C) as an Image, each row followed by `padding` bytes of garbage."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1).view(np.uint8)
    rows = np.hstack([rows, np.full((height, padding), 77, np.uint8)])
    return Message(height=height, width=width, encoding=encoding, is_bigendian=int(big), step=rows.shape[1],
                   data=rows.tobytes())


@settings(deadline=None)
@given(pixels=PICTURES, padding=st.integers(0, 3))
def test_colour_orders_and_padded_rows(pixels, padding):
    alpha = np.full((*pixels.shape[:2], 1), 9, np.uint8)
    cases = {"rgb8": pixels, "bgr8": pixels[:, :, ::-1], "8UC3": pixels[:, :, ::-1],
             "rgba8": np.dstack([pixels, alpha]), "bgra8": np.dstack([pixels[:, :, ::-1], alpha])}
    for encoding, stored in cases.items():
        np.testing.assert_array_equal(image_from_message(image(stored, encoding, padding), "here"), pixels)
    grey = image_from_message(image(pixels[:, :, 0], "mono8", padding), "here")
    np.testing.assert_array_equal(grey, np.repeat(pixels[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_16_bit_images_of_any_depth_keep_their_contrast(bits, big):
    pixels = (np.arange(256, dtype=np.uint16).reshape(16, 16) << (bits - 8))
    grey = image_from_message(image(pixels, "mono16", 2, big), "here")
    np.testing.assert_array_equal(grey[:, :, 1].reshape(-1), np.arange(256))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("colour", [(200, 0, 0), (0, 200, 0), (0, 0, 200)])
def test_bayer_patterns_give_the_colour_that_was_filtered(pattern, colour):
    tile = np.array([colour["rgb".index(letter)] for letter in pattern], np.uint8).reshape(2, 2)
    for encoding, mosaic in ((f"bayer_{pattern}8", np.tile(tile, (4, 4))),
                             (f"bayer_{pattern}16", np.tile(tile, (4, 4)).astype(np.uint16))):
        pixels = image_from_message(image(mosaic, encoding), "here")
        np.testing.assert_array_equal(pixels[2:-2, 2:-2].reshape(-1, 3), [colour] * 16)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_yuv_422(encoding):
    """A red field by the BT.601 formula in limited range: Y = 16 + 65.5 R, U = 128 - 37.8 R, V = 128 + 112 R."""
    y, u, v = 81, 90, 240
    pair = [y, u, y, v] if encoding in ("yuv422_yuy2", "yuyv") else [u, y, v, y]
    pixels = image_from_message(image(np.tile(np.array(pair, np.uint8), (2, 2)).reshape(2, 4, 2), encoding), "here")
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() <= 3


def test_compressed_images():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    png = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
    message = Message(format="rgb8; png compressed bgr8", data=png)
    np.testing.assert_array_equal(image_from_message(message, "here"), pixels)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 4)
    jpeg = cv2.imencode(".jpg", smooth[:, :, ::-1])[1].tobytes()
    assert np.abs(image_from_message(Message(format="jpeg", data=jpeg), "here").astype(int) - smooth).max() < 12


@pytest.mark.parametrize(("message", "words"), [
    (Message(format="16UC1; compressedDepth png", data=b""), "depth"),
    (Message(format="jpeg", data=b"\xff\xd8\xff\xe0 half"), "truncated"),
    (Message(format="png", data=b"no picture"), "not an image"),
    (Message(format="jpeg", data=b""), "not an image|truncated"),
    (image(np.zeros((2, 2), np.float32), "32FC1"), "encoding '32FC1'"),
    (Message(height=4, width=4, encoding="rgb8", is_bigendian=0, step=12, data=bytes(40)), "too few"),
    (Message(height=4, width=4, encoding="rgb8", is_bigendian=0, step=4, data=bytes(48)), "too few"),
    (Message(height=0, width=0, encoding="rgb8", is_bigendian=0, step=0, data=b""), "too few"),
    (image(np.zeros((2, 3, 2), np.uint8), "yuv422"), "even width"),
])
def test_images_that_cannot_be_used_are_told_in_words(message, words):
    with pytest.raises(InputError, match=words):
        image_from_message(message, "bag, /image")


def info(**changes) -> Message:
    roi = Message(x_offset=0, y_offset=0, width=0, height=0)
    fields = {"width": 640, "height": 480, "distortion_model": "plumb_bob", "d": [0.1, 0.01, 0, 0, 0],
              "k": [500.0, 0, 320, 0, 510, 240, 0, 0, 1], "p": [400.0, 0, 310, 0, 0, 410, 230, 0, 0, 0, 1, 0],
              "binning_x": 0, "binning_y": 0, "roi": roi}
    return Message(**(fields | changes))


def test_raw_images_use_K_and_D_rectified_ones_P():
    raw = camera_from_message(info(), 640, 480, False, "here")
    assert raw.model == "plumb_bob" and raw.K[0, 0] == 500 and raw.distortion[0] == 0.1
    rectified = camera_from_message(info(), 640, 480, True, "here")
    assert rectified.model == "none" and rectified.K[0, 0] == 400 and rectified.K[1, 2] == 230
    assert is_rectified_topic("/cam/image_rect_color/compressed") and not is_rectified_topic("/correct/image_raw")


def test_ros1_spells_the_matrices_upper_case():
    fields = vars(info())
    old = Message(**{name.upper() if name in "kdp" else name: value for name, value in fields.items()})
    np.testing.assert_array_equal(camera_from_message(old, 640, 480, False, "here").K,
                                  camera_from_message(info(), 640, 480, False, "here").K)


def test_a_camera_that_may_stand_beside_its_frame_is_told():
    second = info(p=[400.0, 0, 320, -48, 0, 400, 240, 0, 0, 0, 1, 0])
    assert "fourth column of P is [-48.0, 0.0, 0.0]" in beside_its_frame(second, True, "here")
    assert not beside_its_frame(second, False, "here") and not beside_its_frame(info(), True, "here")
    assert camera_from_message(second, 640, 480, True, "here").K[0, 0] == 400


def test_binning_and_region_of_interest_move_the_pixels():
    roi = Message(x_offset=100, y_offset=40, width=400, height=200)
    camera = camera_from_message(info(roi=roi, binning_x=2, binning_y=2), 200, 100, False, "here")
    ray = np.array([0.1, 0.05, 1.0])
    u, v = camera_from_message(info(), 640, 480, False, "here").project(ray)[0]
    expected = [(u - 100 + 0.5) / 2 - 0.5, (v - 40 + 0.5) / 2 - 0.5]
    np.testing.assert_allclose(camera.project(ray)[0], expected, atol=1e-9)


def test_a_resized_image_gets_resized_intrinsics_and_another_shape_is_refused():
    half = camera_from_message(info(), 320, 240, False, "here")
    assert half.K[0, 0] == 250 and half.width == 320
    with pytest.raises(InputError, match="640x360 but its CameraInfo is for 640x480"):
        camera_from_message(info(), 640, 360, False, "here")


@pytest.mark.parametrize(("changes", "rectified", "words"), [
    ({"k": [0.0] * 9}, False, "not calibrated.*K is all zeros"),
    ({"p": [0.0] * 12}, True, "not calibrated.*P is all zeros"),
    ({"distortion_model": "mystery"}, False, "mystery"),
    ({"k": [float("nan"), *info().k[1:]]}, False, "bag"),
    ({"binning_x": 641}, False, "binning by 641 x 1 leaves nothing of 640x480 pixels"),
])
def test_calibrations_that_cannot_be_used_are_told_in_words(changes, rectified, words):
    with pytest.raises(InputError, match=words):
        camera_from_message(info(**changes), 640, 480, rectified, "bag, /camera_info")


CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def cloud(columns: dict[str, tuple[str, object]], height: int = 1, padding: int = 0, big: bool = False) -> Message:
    """A PointCloud2 of named columns (type, values), with three bytes of gap between fields and padded rows."""
    order = ">" if big else "<"
    offsets, step = [], 5
    for dtype, _ in columns.values():
        offsets.append(step)
        step += np.dtype(dtype).itemsize + 3
    table = np.zeros(len(next(iter(columns.values()))[1]), np.dtype({
        "names": list(columns), "formats": [order + dtype for dtype, _ in columns.values()], "offsets": offsets,
        "itemsize": step}))
    for name, (_, values) in columns.items():
        table[name] = values
    rows = np.frombuffer(table.tobytes(), np.uint8).reshape(height, -1)
    rows = np.hstack([rows, np.full((height, padding), 255, np.uint8)])
    fields = [Message(name=name, offset=offset, datatype=CODES[dtype], count=1)
              for (name, (dtype, _)), offset in zip(columns.items(), offsets, strict=True)]
    return Message(header=header(), height=height, width=len(table) // height, fields=fields, is_bigendian=big,
                   point_step=step, row_step=rows.shape[1], data=rows.tobytes(), is_dense=True)


XYZ = np.arange(1, 19, dtype=np.float64).reshape(6, 3) / 4


def axes(dtype: str = "f4") -> dict[str, tuple[str, object]]:
    return {axis: (dtype, XYZ[:, k]) for k, axis in enumerate("xyz")}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("height", "padding"), [(1, 0), (2, 7), (6, 0)])
def test_clouds_of_any_layout(big, dtype, height, padding):
    points = cloud_from_message(cloud(axes(dtype), height, padding, big), "here")
    np.testing.assert_array_equal(points.xyz, XYZ.astype(np.float32))
    assert points.intensity is None and points.ring is None and points.time is None


@pytest.mark.parametrize("name", ["intensity", "reflectivity", "i"])
@pytest.mark.parametrize("ring", ["ring", "channel", "line"])
def test_intensity_and_ring_by_any_of_their_names(name, ring):
    values = [0, 51, 102, 153, 204, 255]
    points = cloud_from_message(cloud(axes() | {name: ("u1", values), ring: ("u2", range(6))}), "here")
    np.testing.assert_allclose(points.intensity, np.array(values) / 255, atol=1e-6)
    np.testing.assert_array_equal(points.ring, range(6))


AFTER = np.arange(6) * 0.01  # seconds


@pytest.mark.parametrize(("name", "dtype", "values", "tolerance"), [
    ("time", "f4", AFTER, 1e-7),
    ("t", "u4", AFTER * 1e9, 1e-7),
    ("offset_time", "u4", AFTER * 1e9, 1e-7),
    ("timestamp", "f8", STAMP * 1e-9 + AFTER, 1e-6),
    ("timestamp", "f8", STAMP + AFTER * 1e9, 1e-6),
    ("time_stamp", "f8", STAMP * 1e-3 + AFTER * 1e6, 1e-6),
])
def test_times_in_any_unit_are_seconds_after_the_stamp(name, dtype, values, tolerance):
    points = cloud_from_message(cloud(axes() | {name: (dtype, values)}), "here")
    np.testing.assert_allclose(points.time, AFTER, atol=tolerance)


def test_times_too_coarse_to_mean_anything_are_left_out():
    assert cloud_from_message(cloud(axes() | {"time": ("f4", STAMP * 1e-9 + AFTER)}), "here").time is None


def test_one_mask_removes_non_finite_points_from_every_field():
    columns = axes() | {"intensity": ("f4", np.arange(6) / 10), "ring": ("u2", range(6))}
    xyz = XYZ.copy()
    xyz[1, 0], xyz[4, 2] = np.nan, np.inf
    columns |= {axis: ("f4", xyz[:, k]) for k, axis in enumerate("xyz")}
    points = cloud_from_message(cloud(columns), "here")
    np.testing.assert_array_equal(points.ring, [0, 2, 3, 5])
    np.testing.assert_allclose(points.intensity, [0, 0.2, 0.3, 0.5])
    assert points.dropped == 2


def test_a_broken_time_or_intensity_of_a_good_point_becomes_zero():
    columns = axes() | {"intensity": ("f4", [0.5, np.nan, np.inf, -1, 1, 0]),
                        "time": ("f4", [0.1, np.nan, np.inf, 0, 0, 0])}
    points = cloud_from_message(cloud(columns), "here")
    np.testing.assert_allclose(points.time, [0.1, 0, 0, 0, 0, 0])
    assert len(points) == 6 and points.intensity[1] == points.intensity[3] == 0
    assert np.isfinite(points.intensity).all() and points.intensity.max() <= 1


def test_clouds_that_cannot_be_used_are_told_in_words():
    good = vars(cloud(axes()))
    out_of_point = [Message(name="x", offset=1000, datatype=7, count=1), *good["fields"][1:]]
    for changes, words in (
        ({"data": good["data"][:-20]}, "too few"), ({"fields": good["fields"][:2]}, "no fields x, y, z"),
        ({"fields": out_of_point}, "does not fit"), ({"width": 0, "data": b"", "row_step": 0}, "empty"),
        ({"fields": [Message(name="x", offset=0, datatype=99, count=1)]}, "does not fit"),
    ):
        with pytest.raises(InputError, match=words):
            cloud_from_message(Message(**(good | changes)), "bag, /points")
    with pytest.raises(InputError, match="none of the 6 points"):
        cloud_from_message(cloud({axis: ("f4", [np.nan] * 6) for axis in "xyz"}), "bag, /points")
    with pytest.raises(InputError, match="bag, /points: the field 'x' is int32, whose unit nobody knows"):
        cloud_from_message(cloud(axes("i4")), "bag, /points")
    triple = [Message(name="X", offset=0, datatype=7, count=3), *good["fields"]]
    with pytest.raises(InputError, match="bag, /points: the field 'X' holds 3 numbers per point"):
        cloud_from_message(Message(**(good | {"fields": triple})), "bag, /points")


def test_stamps_of_both_generations_of_ros():
    assert stamp_ns(header()) == STAMP
    assert stamp_ns(Message(stamp=Message(secs=7, nsecs=8))) == 7_000_000_008


def test_a_transform_without_a_rotation_is_refused():
    zero = Message(x=0.0, y=0.0, z=0.0, w=0.0)
    with pytest.raises(InputError, match=r"a -> b.*no unit quaternion"):
        transform_from_message(Message(rotation=zero, translation=zero), "bag, /tf, a -> b")
    here = Message(x=0, y=0, z=0, w=1)
    with pytest.raises(InputError, match="not finite"):
        transform_from_message(Message(rotation=here, translation=Message(x=np.nan, y=0, z=0)), "")


def test_a_flat_cloud_may_leave_its_row_step_empty():
    message = vars(cloud(axes())) | {"row_step": 0}
    assert len(cloud_from_message(Message(**message), "here")) == 6
