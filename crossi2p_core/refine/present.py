"""Is the calibration in use still good? Asked without searching for a better one."""

from __future__ import annotations

import math

import torch

from .objective import FrameProblem, move, score, sparse, weighed, weight_in_view

_NEARBY = (0.4,) * 6  # UNIT: 0.4 deg, 4 cm; half of that tells 0.5 deg and 5 cm less well from none
_POSES = 200
# Factors of the classes of edges (lidar_edges): what leads a search best does not tell such small moves best. Without
# them the area under the ROC curve is 0.78 for 0.25 deg and 0.94 for 0.5 deg and 5 cm, with them 0.84 and 0.96.
_SAYS = (0.25, 1.0, 0.25, 0.6, 1.0, 2.0)
_EDGES = 6000  # of all frames together: one frame needs all of its own, of ten frames a few hundred each will do


def doubt(frames: list[FrameProblem], T_cam_lidar: torch.Tensor, sigma: float, seed: int) -> float:
    """Share of small random moves of T (4, 4) after which the edges fit better: next to 0 where T is right, a tenth or
    more where it is off by half a degree; NaN where none of them is in view.

    frames: as seen from T. A share says more than the height of the score or what a search gains: those depend on the
    scene, and a search also finds the small maxima that noise makes.
    """
    if not any(weight_in_view(frame, T_cam_lidar) > 0 for frame in frames):
        return math.nan
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(_POSES, 6, generator=generator, dtype=torch.float64) * torch.tensor(_NEARBY).double()
    steps[0] = 0
    poses = move(T_cam_lidar.expand(_POSES, 4, 4), steps.to(T_cam_lidar))
    most = _EDGES // len(frames)
    values = torch.stack([score(weighed(sparse(frame, most), _SAYS), poses, sigma) for frame in frames]).sum(0)
    return float((values[1:] > values[0]).double().mean())
