"""What hostile publishers send: one whole message damaged in one way each, and what the diagnostics have to say of it.

Every damage changes the three messages of a pair in place: Image (or CompressedImage), CameraInfo, PointCloud2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Damage = Callable[[Any, Any, Any], None]


@dataclass(frozen=True)
class Case:
    """words: what the diagnostics' message has to say, empty where the messages are odd, but can be used.

    counter: which of the diagnostics' values counts it, empty where none does. rare: much like another case, so that
    only the slow test sends it.
    """

    name: str
    damage: Damage
    words: str = ""
    counter: str = "refused: "
    rare: bool = False


def image_with(**fields: Any) -> Damage:
    """Other values of an image's fields."""
    return lambda image, info, cloud: _assign(image, fields)


def info_with(**fields: Any) -> Damage:
    """Other values of a calibration's fields."""
    return lambda image, info, cloud: _assign(info, fields)


def cloud_with(**fields: Any) -> Damage:
    """Other values of a cloud's fields."""
    return lambda image, info, cloud: _assign(cloud, fields)


def field_with(name: str, **changes: Any) -> Damage:
    """Other values in the description of one of a cloud's fields."""
    return lambda image, info, cloud: _assign(next(each for each in cloud.fields if each.name == name), changes)


def as_image(encoding: str, pixels: Callable[[np.ndarray], np.ndarray], big: bool = False) -> Damage:
    """The same picture, rightly written in another encoding; pixels: what becomes of (H, W, 3) uint8."""
    def damage(image: Any, info: Any, cloud: Any) -> None:
        rgb = np.frombuffer(memoryview(image.data), np.uint8).reshape(image.height, image.width, 3)
        written = np.ascontiguousarray(pixels(rgb))
        image.encoding, image.is_bigendian, image.step = encoding, int(big), written[0].nbytes
        put(image, written.tobytes())

    return damage


def points_with(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Another table of points: `change` gets the cloud's (N,) structured array and returns the one to send."""
    def damage(image: Any, info: Any, cloud: Any) -> None:
        table = change(points_of(cloud))
        cloud.height, cloud.width, cloud.row_step = 1, len(table), table.nbytes
        put(cloud, table.tobytes())

    return damage


def points_of(cloud: Any) -> np.ndarray:
    """(N,) structured copy of the points of a whole cloud."""
    types = {2: "u1", 4: "<u2", 5: "<i4", 7: "<f4", 8: "<f8"}
    layout = np.dtype({"names": [each.name for each in cloud.fields], "itemsize": cloud.point_step,
                       "formats": [types[each.datatype] for each in cloud.fields],
                       "offsets": [each.offset for each in cloud.fields]})
    return np.frombuffer(memoryview(cloud.data), layout).copy()


def big_endian(image: Any, info: Any, cloud: Any) -> None:
    """The same points, each number with its bytes the other way round."""
    swapped = points_of(cloud).byteswap()
    cloud.is_bigendian = True
    put(cloud, swapped.tobytes())


def integer_axis(image: Any, info: Any, cloud: Any) -> None:
    """x as int32, rightly written, in whatever unit."""
    points = points_of(cloud)
    millimetres = (1000 * points["x"]).astype("<i4")
    points["x"] = millimetres.view("<f4")
    next(each for each in cloud.fields if each.name == "x").datatype = 5
    put(cloud, points.tobytes())


def every_second_broken(points: np.ndarray) -> np.ndarray:
    """NaN and Inf among good points."""
    points["x"][::4], points["z"][2::4] = np.nan, np.inf
    return points


def all_broken(points: np.ndarray) -> np.ndarray:
    """No finite point."""
    points["y"] = np.nan
    return points


def all_far_away(points: np.ndarray) -> np.ndarray:
    """Finite, but no distance that a LiDAR measures."""
    points["x"] = 1e30
    return points


def without_axis(image: Any, info: Any, cloud: Any) -> None:
    """The bytes of z are there, their description is not."""
    cloud.fields = [each for each in cloud.fields if each.name != "z"]


def stamped(image: int | None = None, cloud: int | None = None) -> Damage:
    """Other stamps, ns; negative seconds are written as such."""
    def damage(image_message: Any, info: Any, cloud_message: Any) -> None:
        for message, stamp in ((image_message, image), (cloud_message, cloud)):
            if stamp is not None:
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)

    return damage


def shifted(seconds: int, image: bool = True, cloud: bool = True) -> Damage:
    """Stamps so much later."""
    def damage(image_message: Any, info: Any, cloud_message: Any) -> None:
        for message, wanted in ((image_message, image), (cloud_message, cloud)):
            if wanted:
                message.header.stamp.sec += seconds

    return damage


def put(message: Any, data: bytes) -> None:
    """Replace the bytes of a message; assigning them would copy item by item."""
    message.data = []
    message.data.frombytes(data)


def _assign(message: Any, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name == "data":
            put(message, value)
        else:
            setattr(message, name, value)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return rgb.mean(axis=2).astype(np.uint8)


def _mosaic(rgb: np.ndarray) -> np.ndarray:
    """What a sensor behind a Bayer filter of the order RGGB sees."""
    seen = rgb[..., 1].copy()
    seen[::2, ::2], seen[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
    return seen


IMAGES = (
    Case("an encoding nobody knows", image_with(encoding="secret7"), "image encoding 'secret7' is none that can be"),
    Case("an encoding without end", image_with(encoding="x" * 10**6), "image encoding 'xxxxx", rare=True),
    Case("no encoding", image_with(encoding=""), "image encoding '' is none that can be read", rare=True),
    Case("a depth image", image_with(encoding="32FC1"), "image encoding '32FC1' is none that can be read", rare=True),
    Case("more channels than bytes", image_with(encoding="bgra8"), "of encoding bgra8; the message is damaged"),
    Case("16 bits that are 8", image_with(encoding="rgb16"), "of encoding rgb16; the message is damaged", rare=True),
    Case("a step too short", image_with(step=3), "a step of 3 are too few"),
    Case("a step of zero", image_with(step=0), "a step of 0 are too few", rare=True),
    Case("a step without end", image_with(step=2**32 - 1), "a step of 4294967295 are too few", rare=True),
    Case("a height that lies", image_with(height=10**6), "too few for a 256x1000000 image"),
    Case("a width that lies", image_with(width=10**6), "too few for a 1000000x80 image", rare=True),
    Case("no pixels", image_with(height=0, width=0, step=0, data=b""), "too few for a 0x0 image", rare=True),
    Case("bytes missing", image_with(data=bytes(100)), "/camera/image_raw: 100 bytes with"),
    Case("a frame without a name", lambda image, info, cloud: _assign(image.header, {"frame_id": ""}),
         "/camera/image_raw: the header names no frame"),
    Case("grey", as_image("mono8", _grey), rare=True),
    Case("a Bayer pattern", as_image("bayer_rggb8", _mosaic), rare=True),
    Case("16 bits, big-endian", as_image("mono16", lambda rgb: _grey(rgb).astype(">u2") << 8, big=True)),
)

CALIBRATIONS = (
    Case("K is zero", info_with(k=np.zeros(9)), "CameraInfo.K is all zeros"),
    Case("K holds NaN", info_with(k=np.full(9, np.nan)), "hold NaN or infinite numbers", rare=True),
    Case("a negative focal length", info_with(k=np.diag([-100.0, -100, 1]).reshape(-1)), "must be positive", rare=True),
    Case("two distortion coefficients", info_with(d=[0.1, 0.2]), "takes 4 or 5 coefficients; 2 were given"),
    Case("a distortion model nobody knows", info_with(distortion_model="mirror", d=[0.1] * 5), "'mirror' is not known"),
    Case("a calibration of another size", info_with(width=100, height=400), "256x80 but its CameraInfo is for 100x400"),
    Case("binning larger than the image", info_with(binning_x=1000), "binning by 1000 x 1 leaves nothing of 256x80"),
    Case("a calibration without a size", info_with(width=0, height=0), rare=True),
)

CLOUDS = (
    Case("no z", without_axis, "has no fields x, y, z (it has"),
    Case("no fields", cloud_with(fields=[]), "has no fields x, y, z (it has none)", rare=True),
    Case("a type nobody knows", field_with("x", datatype=77), "field 'x' does not fit a point of", rare=True),
    Case("whole numbers", integer_axis, "field 'x' is int32"),
    Case("three numbers in one field", field_with("y", count=3), "field 'y' holds 3 numbers"),
    Case("an offset beyond the point", field_with("z", offset=4000), "field 'z' does not fit a point of", rare=True),
    Case("a point of no bytes", cloud_with(point_step=0), "does not fit a point of 0 bytes"),
    Case("a point that is too long", cloud_with(point_step=10**6), "for 1 x 10114 points of 1000000 bytes", rare=True),
    Case("a row that is too short", lambda image, info, cloud: _assign(
        cloud, {"height": 2, "width": cloud.width // 2, "row_step": 5}), "are too few for 2 x", rare=True),
    Case("more points than bytes", cloud_with(width=10**9), "are too few for 1 x 1000000000 points", rare=True),
    Case("no points", points_with(lambda points: points[:0]), "is empty (1 x 0 points)"),
    Case("three points", points_with(lambda points: points[:3]), "the registration failed", "failed"),
    Case("nothing but NaN", points_with(all_broken), "is finite and away from the origin"),
    Case("points beyond all reason", points_with(all_far_away),
         "is finite and away from the origin", rare=True),
    Case("a frame without a name", lambda image, info, cloud: _assign(cloud.header, {"frame_id": ""}),
         "/lidar/points: the header names no frame"),
    Case("another frame of the camera", lambda image, info, cloud: _assign(image.header, {"frame_id": "nose"}),
         "TF does not lead from lidar to nose"),
    Case("another frame of the LiDAR", lambda image, info, cloud: _assign(cloud.header, {"frame_id": "roof"}),
         "TF does not lead from roof to camera_optical", rare=True),
    Case("some NaN and Inf", points_with(every_second_broken)),
    Case("big-endian", big_endian),
)

TIMES = (
    Case("no stamps", stamped(0, 0), "stamps are empty", "empty stamps"),
    Case("stamps before all time", stamped(-5 * 10**9, -5 * 10**9), "stamps are empty", "empty stamps", rare=True),
    Case("stamps of the future", shifted(3600), "more than 10 s newer than this node's clock"),
    Case("stamps of the past", shifted(-3600), "more than 10 s older than this node's clock"),
    Case("an image of another time", shifted(60, cloud=False), "ms apart or more", counter=""),
    Case("the last second of all", stamped(2**31 * 10**9 - 1, 2**31 * 10**9 - 1), "stamps are beyond the year 2038"),
)
