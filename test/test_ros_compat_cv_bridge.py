"""Pixels through Image and CompressedImage, with our CvBridge and, where it is installed and loads, the real one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import both
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

IMPLEMENTATIONS = both("cv_bridge", "cv_bridge")
contract = pytest.mark.parametrize("module", IMPLEMENTATIONS)
ours = pytest.mark.parametrize("module", IMPLEMENTATIONS[-1:])


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """An image of random numbers over the whole range of its type, floats over -1..1."""
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return rng.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def message(encoding: str, rows: list[bytes], width: int, **fields: int) -> Image:
    """An Image written byte by byte."""
    image = Image(encoding=encoding, height=len(rows), width=width, step=len(rows[0]), **fields)
    image.data.frombytes(b"".join(rows))
    return image


@contract
@pytest.mark.parametrize(("encoding", "shape", "dtype"), [
    ("rgb8", (5, 7, 3), "uint8"), ("bgra8", (5, 7, 4), "uint8"), ("mono8", (5, 7), "uint8"),
    ("mono16", (5, 7), "uint16"), ("bayer_rggb8", (4, 6), "uint8"), ("rgb16", (5, 7, 3), "uint16"),
    ("32FC1", (5, 7), "float32"), ("64FC2", (5, 7, 2), "float64"), ("16SC3", (5, 7, 3), "int16"),
    ("yuv422", (4, 6, 2), "uint8")])
def test_there_and_back(module: SimpleNamespace, encoding: str, shape: tuple[int, ...], dtype: str) -> None:
    pixels, header = noise(shape, dtype), Header(frame_id="camera")
    image = module.CvBridge().cv2_to_imgmsg(pixels, encoding, header)
    assert (image.height, image.width, image.encoding, image.header.frame_id) == (*shape[:2], encoding, "camera")
    assert image.step * image.height == len(image.data) == pixels.nbytes
    back = module.CvBridge().imgmsg_to_cv2(image)
    assert back.dtype == pixels.dtype and np.array_equal(back, pixels)


@contract
def test_passthrough_names_the_type(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    assert bridge.cv2_to_imgmsg(noise((2, 3, 3))).encoding == "8UC3"
    assert bridge.cv2_to_imgmsg(noise((2, 3), "float32")).encoding == "32FC1"
    assert np.array_equal(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(noise((2, 3, 3)))), noise((2, 3, 3)))


@contract
def test_a_view_of_an_image_is_written_right(module: SimpleNamespace) -> None:
    pixels = noise((6, 8, 3))[::2, 1:5, ::-1]
    bridge = module.CvBridge()
    assert np.array_equal(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(pixels, "rgb8")), pixels)


@contract
def test_padding_at_the_end_of_rows_is_cut(module: SimpleNamespace) -> None:
    rows = [bytes([1, 2, 3, 4, 5, 6, 99, 99, 99]), bytes([7, 8, 9, 10, 11, 12, 99, 99, 99])]
    pixels = module.CvBridge().imgmsg_to_cv2(message("rgb8", rows, width=2))
    assert pixels.tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]


@contract
def test_the_order_of_colours(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    image = message("rgb8", [bytes([255, 0, 10])], width=1)
    assert bridge.imgmsg_to_cv2(image, "bgr8").tolist() == [[[10, 0, 255]]]
    assert bridge.imgmsg_to_cv2(image, "bgra8").tolist() == [[[10, 0, 255, 255]]]
    assert bridge.imgmsg_to_cv2(image, "mono8").tolist() == [[77]]  # 0.299 R + 0.587 G + 0.114 B
    grey = message("mono8", [bytes([7])], width=1)
    assert bridge.imgmsg_to_cv2(grey, "rgb8").tolist() == [[[7, 7, 7]]]


@contract
def test_raw_mosaics_and_yuv(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    red_only = message("bayer_rggb8", [bytes([200, 0] * 4), bytes(8)] * 4, width=8)
    red, green, blue = bridge.imgmsg_to_cv2(red_only, "rgb8")[3, 3]
    assert red == 200 and green == blue == 0
    blue_only = message("bayer_bggr8", [bytes([200, 0] * 4), bytes(8)] * 4, width=8)
    assert bridge.imgmsg_to_cv2(blue_only, "bgr8")[3, 3].tolist() == [200, 0, 0]
    luminance = [16, 90, 160, 235]
    yuv = message("yuv422", [bytes(v for y in luminance for v in (128, y))] * 2, width=4)
    assert bridge.imgmsg_to_cv2(yuv, "mono8")[0].tolist() == luminance


@contract
def test_eight_and_sixteen_bits_by_their_full_scale(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    deep = bridge.cv2_to_imgmsg(np.array([[0, 257, 65535]], dtype=np.uint16), "mono16")
    assert bridge.imgmsg_to_cv2(deep, "mono8").tolist() == [[0, 1, 255]]
    assert bridge.imgmsg_to_cv2(message("mono8", [bytes([0, 1, 255])], width=3), "mono16").tolist() == [[0, 257, 65535]]


@contract
def test_what_makes_no_sense_is_refused(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    depth = bridge.cv2_to_imgmsg(noise((2, 3), "float32"), "32FC1")
    with pytest.raises(module.CvBridgeError):
        bridge.imgmsg_to_cv2(depth, "rgb8")
    with pytest.raises(module.CvBridgeError):
        bridge.imgmsg_to_cv2(message("nv21x", [bytes(6)], width=2))
    with pytest.raises(module.CvBridgeError):
        bridge.cv2_to_imgmsg(noise((2, 3, 3)), "mono8")
    with pytest.raises(TypeError):
        bridge.cv2_to_imgmsg([[1, 2], [3, 4]])


@contract
def test_too_little_data_is_an_error(module: SimpleNamespace) -> None:
    image = message("rgb8", [bytes(6)] * 2, width=2)
    image.height = 3
    with pytest.raises(TypeError):
        module.CvBridge().imgmsg_to_cv2(image)


@contract
@pytest.mark.parametrize("shape", [(9, 11, 3), (9, 11)])
def test_compressed_there_and_back(module: SimpleNamespace, shape: tuple[int, ...]) -> None:
    bridge, pixels = module.CvBridge(), noise(shape)
    coded = bridge.cv2_to_compressed_imgmsg(pixels, "png")
    assert coded.format == "png" and bytes(coded.data[1:4]) == b"PNG"
    assert np.array_equal(bridge.compressed_imgmsg_to_cv2(coded), pixels)
    smooth = np.full(shape, 80, dtype=np.uint8)
    assert np.allclose(bridge.compressed_imgmsg_to_cv2(bridge.cv2_to_compressed_imgmsg(smooth)), smooth, atol=3)


@contract
def test_compressed_colours_are_bgr(module: SimpleNamespace) -> None:
    bridge = module.CvBridge()
    coded = bridge.cv2_to_compressed_imgmsg(np.full((4, 4, 3), (10, 0, 255), dtype=np.uint8), "png")
    assert bridge.compressed_imgmsg_to_cv2(coded, "rgb8")[0, 0].tolist() == [255, 0, 10]


@contract
def test_what_is_no_picture_gives_none_or_an_error(module: SimpleNamespace) -> None:
    """The real one gives None: whoever calls has to be ready for both."""
    try:
        assert module.CvBridge().compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=[1, 2, 3])) is None
    except module.CvBridgeError as error:
        assert "3 bytes" in str(error)


@ours
def test_ours_reads_the_other_byte_order_and_sees_lies(module: SimpleNamespace) -> None:
    """The real one fails at both: `newbyteorder` is gone from numpy 2, and short rows come out narrower."""
    bridge = module.CvBridge()
    big_endian = message("mono16", [bytes([1, 0, 0, 2])], width=2, is_bigendian=1)
    assert bridge.imgmsg_to_cv2(big_endian).tolist() == [[256, 2]]
    for lie in ({"step": 2}, {"width": 0}, {"height": 0}, {"step": 2**31}):
        image = message("rgb8", [bytes(6)] * 2, width=2)
        for field, value in lie.items():
            setattr(image, field, value)
        with pytest.raises(module.CvBridgeError):
            bridge.imgmsg_to_cv2(image)
    with pytest.raises(module.CvBridgeError):
        bridge.cv2_to_imgmsg(np.zeros((0, 4, 3), dtype=np.uint8), "rgb8")
