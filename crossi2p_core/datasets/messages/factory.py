"""What flows through the house as ROS 2 messages, built from whichever message classes the caller has."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ...errors import InputError
from ...geometry.pose_covariance import covariance_to_ros
from ...geometry.quaternion import xyzw_from_rotation
from ...types import Camera, PointCloud

FLOAT32, INT32, UINT16 = 7, 5, 4  # sensor_msgs/PointField.datatype
NUMPY_TYPES = {FLOAT32: "<f4", INT32: "<i4", UINT16: "<u2"}
IMAGE_FORMATS = ("raw", "png", "jpeg")
JPEG_QUALITY = 95
MODEL_NAMES = {"none": "plumb_bob"}  # CameraInfo has no word for "undistorted": plumb_bob with zeros says it

Columns = dict[str, tuple[np.ndarray, int]]  # name -> values (N,), PointField.datatype


class MessageFactory:
    """Builds messages; a subclass says how one is made and what its arrays are held in.

    stamp: nanoseconds since 1970. frame: the header's frame_id.
    """

    def new(self, name: str, /, **fields: Any) -> Any:
        """The message of type `name`, such as `sensor_msgs/msg/Image`, with all its fields."""
        raise NotImplementedError

    def octets(self, values: np.ndarray) -> Any:
        """The bytes of a contiguous array as the value of a uint8[] field."""
        raise NotImplementedError

    def doubles(self, values: np.ndarray) -> Any:
        """(N,) float64 as the value of a float64[] field."""
        raise NotImplementedError

    def header(self, stamp: int, frame: str) -> Any:
        """std_msgs/Header."""
        seconds, rest = divmod(int(stamp), 1_000_000_000)
        time = self.new("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)
        return self.new("std_msgs/msg/Header", stamp=time, frame_id=frame)

    def image(self, image: np.ndarray, stamp: int, frame: str, image_format: str = "raw") -> Any:
        """image (H, W, 3) uint8 RGB as Image (`raw`) or CompressedImage (`png`, lossless, or `jpeg`)."""
        header = self.header(stamp, frame)
        image = np.ascontiguousarray(image)
        if image_format == "raw":
            height, width = image.shape[:2]
            return self.new("sensor_msgs/msg/Image", header=header, height=height, width=width, encoding="rgb8",
                            is_bigendian=0, step=3 * width, data=self.octets(image))
        ending, options = (".png", []) if image_format == "png" else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        encoded = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
        return self.new("sensor_msgs/msg/CompressedImage", header=header, format=image_format,
                        data=self.octets(encoded))

    def camera_info(self, camera: Camera, stamp: int, frame: str) -> Any:
        """CameraInfo of the raw image; P is what an undistorted image of the same K would have."""
        D = camera.distortion if len(camera.distortion) else np.zeros(5)
        P = np.hstack([camera.K, np.zeros((3, 1))])
        roi = self.new("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        return self.new("sensor_msgs/msg/CameraInfo", header=self.header(stamp, frame), height=camera.height,
                        width=camera.width, distortion_model=MODEL_NAMES.get(camera.model, camera.model),
                        d=self.doubles(D), k=camera.K.flatten(), r=np.eye(3).flatten(), p=P.flatten(),
                        binning_x=0, binning_y=0, roi=roi)

    def cloud(self, cloud: PointCloud, stamp: int, frame: str) -> Any:
        """PointCloud2 with x, y, z and, where known, intensity (0..1), ring and time (seconds after the stamp)."""
        columns = _axes(cloud.xyz)
        if cloud.intensity is not None:
            columns["intensity"] = (cloud.intensity, FLOAT32)
        if cloud.ring is not None:
            fits = cloud.ring.min(initial=0) >= 0 and cloud.ring.max(initial=0) < 65536
            columns["ring"] = (cloud.ring, UINT16 if fits else INT32)
        if cloud.time is not None:
            columns["time"] = (cloud.time, FLOAT32)
        return self._points(columns, len(cloud), stamp, frame)

    def colored_cloud(self, xyz: np.ndarray, rgb: np.ndarray, stamp: int, frame: str) -> Any:
        """PointCloud2 of points xyz (N, 3) m and colours rgb (N, 3) uint8, as RViz's RGB8 transformer reads them.

        The field `rgb` holds the bytes blue, green, red, 0 of each point in the place of a float32.
        """
        if np.shape(xyz) != np.shape(rgb) or np.ndim(xyz) != 2 or np.shape(xyz)[1] != 3:
            raise InputError(f"a coloured cloud needs points and colours of one shape (N, 3); these are {np.shape(xyz)}"
                             f" and {np.shape(rgb)}")
        bgr0 = np.zeros((len(xyz), 4), np.uint8)
        bgr0[:, :3] = np.asarray(rgb)[:, ::-1]
        return self._points(_axes(xyz) | {"rgb": (bgr0.view("<f4")[:, 0], FLOAT32)}, len(xyz), stamp, frame)

    def transform(self, T_parent_child: np.ndarray, stamp: int, parent: str, child: str) -> Any:
        """TransformStamped: where `child` is in `parent`."""
        t, q = self._vector("Vector3", T_parent_child), self._quaternion(T_parent_child)
        body = self.new("geometry_msgs/msg/Transform", translation=t, rotation=q)
        return self.new("geometry_msgs/msg/TransformStamped", header=self.header(stamp, parent), child_frame_id=child,
                        transform=body)

    def pose(self, T_parent_child: np.ndarray, covariance: np.ndarray, stamp: int, parent: str) -> Any:
        """PoseWithCovarianceStamped of a child in `parent`; covariance (6, 6) of T_parent_child's left perturbation.

        In the message it stands in the order and meaning of ROS: see `geometry.pose_covariance`.
        """
        position, q = self._vector("Point", T_parent_child), self._quaternion(T_parent_child)
        uncertain = self.new("geometry_msgs/msg/PoseWithCovariance",
                             pose=self.new("geometry_msgs/msg/Pose", position=position, orientation=q),
                             covariance=covariance_to_ros(covariance, T_parent_child).flatten())
        return self.new("geometry_msgs/msg/PoseWithCovarianceStamped", header=self.header(stamp, parent),
                        pose=uncertain)

    def _points(self, columns: Columns, count: int, stamp: int, frame: str) -> Any:
        """PointCloud2 of little-endian columns of `count` values each, aligned, since that is read twice as fast."""
        layout = np.dtype([(name, NUMPY_TYPES[datatype]) for name, (_, datatype) in columns.items()], align=True)
        table = np.zeros(count, layout)
        assert table.dtype.fields is not None
        fields = []
        for name, (values, datatype) in columns.items():
            table[name] = values
            fields.append(self.new("sensor_msgs/msg/PointField", name=name, offset=table.dtype.fields[name][1],
                                   datatype=datatype, count=1))
        size = table.dtype.itemsize
        return self.new("sensor_msgs/msg/PointCloud2", header=self.header(stamp, frame), height=1, width=count,
                        fields=fields, is_bigendian=False, point_step=size, row_step=size * count,
                        data=self.octets(table), is_dense=True)

    def _vector(self, kind: str, T: np.ndarray) -> Any:
        x, y, z = map(float, T[:3, 3])
        return self.new(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)

    def _quaternion(self, T: np.ndarray) -> Any:
        x, y, z, w = map(float, xyzw_from_rotation(T[:3, :3]))
        return self.new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def _axes(xyz: np.ndarray) -> Columns:
    return {axis: (xyz[:, k], FLOAT32) for k, axis in enumerate("xyz")}
