"""Points through PointCloud2, with our functions and, where it is installed, sensor_msgs_py."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import both
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from crossi2p_ros.ros_compat.point_cloud2 import CLOUD_ERRORS

IMPLEMENTATIONS = both("point_cloud2", "point_cloud2")
contract = pytest.mark.parametrize("module", IMPLEMENTATIONS)
ours = pytest.mark.parametrize("module", IMPLEMENTATIONS[-1:])

XYZIR = np.dtype({"names": ["x", "y", "z", "intensity", "ring"], "formats": ["<f4"] * 4 + ["<u2"],
                  "offsets": [0, 4, 8, 16, 20], "itemsize": 22})
FIELDS = [PointField(name=name, offset=at, datatype=kind, count=1) for name, at, kind in (
    ("x", 0, PointField.FLOAT32), ("y", 4, PointField.FLOAT32), ("z", 8, PointField.FLOAT32),
    ("intensity", 16, PointField.FLOAT32), ("ring", 20, PointField.UINT16))]


def points(count: int = 5) -> np.ndarray:
    """Structured points whose every number differs."""
    filled = np.zeros(count, XYZIR)
    for at, name in enumerate(XYZIR.names or ()):
        filled[name] = np.arange(count) + 100 * at
    return filled


def cloud_of(array: np.ndarray, fields: list[PointField], **more: object) -> PointCloud2:
    """A cloud written byte by byte."""
    cloud = PointCloud2(height=1, width=len(array), fields=fields, point_step=array.dtype.itemsize, is_dense=True)
    for name, value in more.items():
        setattr(cloud, name, value)
    cloud.data.frombytes(array.tobytes())
    return cloud


@contract
def test_there_and_back(module: SimpleNamespace) -> None:
    cloud = module.create_cloud(Header(frame_id="lidar"), FIELDS, points())
    assert (cloud.header.frame_id, cloud.height, cloud.width, cloud.point_step) == ("lidar", 1, 5, 22)
    assert cloud.row_step == len(cloud.data) == 5 * 22
    back = module.read_points(cloud)
    assert back.dtype == XYZIR and np.array_equal(back, points())


@contract
def test_fields_by_name(module: SimpleNamespace) -> None:
    cloud = cloud_of(points(), FIELDS)
    part = module.read_points(cloud, field_names=["ring", "x"])
    assert part.dtype.names == ("ring", "x") and part["ring"].tolist() == [400, 401, 402, 403, 404]
    with pytest.raises(CLOUD_ERRORS):
        module.read_points(cloud, field_names=["reflectivity"])


@contract
def test_nan_goes_on_request_unless_the_cloud_calls_itself_dense(module: SimpleNamespace) -> None:
    broken = points()
    broken["z"][1], broken["x"][2], broken["intensity"][3] = np.nan, np.inf, np.nan
    cloud = cloud_of(broken, FIELDS, is_dense=False)
    assert module.read_points(cloud, ["x", "y", "z"], skip_nans=True)["y"].tolist() == [100, 102, 103, 104]
    assert len(module.read_points(cloud, ["x", "y", "z"])) == 5
    cloud.is_dense = True
    assert len(module.read_points(cloud, skip_nans=True)) == 5


@contract
def test_the_other_byte_order(module: SimpleNamespace) -> None:
    cloud = cloud_of(points().astype(XYZIR.newbyteorder(">")), FIELDS, is_bigendian=True)
    assert np.array_equal(module.read_points(cloud)["ring"], points()["ring"])


@ours
def test_ours_leaves_the_message_as_it_came(module: SimpleNamespace) -> None:
    """The real one swaps bytes inside the message, so that a second reader gets nonsense."""
    cloud = cloud_of(points().astype(XYZIR.newbyteorder(">")), FIELDS, is_bigendian=True)
    assert np.array_equal(module.read_points(cloud), module.read_points(cloud))


@contract
def test_chosen_points(module: SimpleNamespace) -> None:
    cloud = cloud_of(points(), FIELDS)
    for chosen in ([3, 1], np.array([3, 1])):
        assert module.read_points(cloud, uvs=chosen)["x"].tolist() == [3, 1]


@contract
def test_repeated_and_nameless_fields(module: SimpleNamespace) -> None:
    fields = [PointField(name="normal", offset=0, datatype=PointField.FLOAT32, count=3),
              PointField(name="", offset=12, datatype=PointField.UINT8, count=1)]
    assert module.dtype_from_fields(fields, 16) == np.dtype({
        "names": ["normal_0", "normal_1", "normal_2", "unnamed_field_1"], "formats": ["<f4"] * 3 + ["u1"],
        "offsets": [0, 4, 8, 12], "itemsize": 16})


@contract
def test_plain_points_and_lists_make_a_cloud(module: SimpleNamespace) -> None:
    xyz = np.arange(12, dtype=np.float32).reshape(4, 3)
    for given in (xyz, xyz.tolist()):
        cloud = module.create_cloud_xyz32(Header(), given)
        assert [field.name for field in cloud.fields] == ["x", "y", "z"] and cloud.point_step == 12
        assert module.read_points(cloud).tolist() == list(map(tuple, xyz.tolist()))
    assert module.create_cloud_xyz32(Header(), np.zeros((0, 3), np.float32)).width == 0


@contract
def test_organised_clouds(module: SimpleNamespace) -> None:
    cloud = module.create_cloud(Header(), FIELDS, points(6).reshape(3, 2))
    assert (cloud.width, cloud.height) == (3, 2)
    assert module.read_points(cloud, reshape_organized_cloud=True).shape == (3, 2)


@contract
def test_points_that_do_not_fit_the_fields(module: SimpleNamespace) -> None:
    with pytest.raises(CLOUD_ERRORS):
        module.create_cloud(Header(), FIELDS, points().astype([("x", "f8")] + [(n, "f4") for n in "yzir"]))
    with pytest.raises(CLOUD_ERRORS):
        module.create_cloud(Header(), FIELDS, np.zeros((4, 5), np.float32))


@contract
@pytest.mark.parametrize("lie", [{"width": 6}, {"point_step": 10}, {"point_step": 40}])
def test_lies_are_errors(module: SimpleNamespace, lie: dict[str, int]) -> None:
    with pytest.raises(CLOUD_ERRORS):
        module.read_points(cloud_of(points(), FIELDS, **lie))


@contract
@pytest.mark.parametrize("field", [PointField(name="x", offset=0, datatype=99, count=1),
                                   PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=0)])
def test_fields_that_mean_nothing_are_errors(module: SimpleNamespace, field: PointField) -> None:
    with pytest.raises(CLOUD_ERRORS):
        module.read_points(cloud_of(points(), [field]))
