"""From one scan to the next by open3d's point-to-plane ICP, where a recording tells no poses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import PointCloud

Array = np.ndarray
_GRAIN_M = 0.2
_NORMAL_M, _NORMAL_POINTS = 2.5, 60  # so wide that the next rows of a sparse scan have a say
_REACH_M = (3.0, 1.0, 0.4)  # of a correspondence, from coarse to fine; 3 m is 30 m/s at 10 Hz
_DOUBTED = 0.25  # of the reach: residuals beyond count nothing (Tukey), for much of a street moves on its own
_ITERATIONS = 40
_NEAREST_M = 3.0  # what is nearer is the vehicle itself and stays where it is
_FITTING = 0.6  # share of the points that must find their like
_FEW = 200


def ready(cloud: PointCloud) -> Any:
    """An open3d cloud, thinned, with normals. Raises InputError without open3d."""
    try:
        import open3d as o3d
    except ImportError as error:
        raise InputError("this recording tells no poses, and finding the motion from its scans needs open3d: "
                         f"pip install 'crossi2p_ros[viz]' ({error})") from None
    far = cloud.xyz[np.linalg.norm(cloud.xyz[:, :2], axis=1) > _NEAREST_M].astype(np.float64)
    thinned = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(far)).voxel_down_sample(_GRAIN_M)
    thinned.estimate_normals(o3d.geometry.KDTreeSearchParamHybrid(_NORMAL_M, _NORMAL_POINTS))
    return thinned


def match(target: Any, source: Any, guess: Array | None = None) -> Array | None:
    """T_target_source (4, 4) of two clouds of `ready`; None where they do not fit each other.

    guess: where to begin; by default at rest. Point-to-plane: Chen and Medioni, "Object Modelling by Registration of
    Multiple Range Images", 1992.
    """
    import open3d as o3d

    if min(len(target.points), len(source.points)) < _FEW:
        return None
    icp = o3d.pipelines.registration
    T = np.eye(4) if guess is None else guess
    for reach in _REACH_M:
        found = icp.registration_icp(
            source, target, reach, T, icp.TransformationEstimationPointToPlane(icp.TukeyLoss(_DOUBTED * reach)),
            icp.ICPConvergenceCriteria(max_iteration=_ITERATIONS))
        T = np.array(found.transformation)
    if not np.isfinite(T).all() or found.fitness < _FITTING:
        return None
    return se3.exp_se3(se3.log_se3(T))  # a rotation to the last digit
