"""How good the matches of a batch are; what the log and the failure signatures look at."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import se3
from ..model.batch import Batch
from ..model.config import COARSE_STRIDE
from ..model.network import Matches
from ..solve.from_matches import poses_from_matches
from .losses import fine_truth, mean_where
from .targets import Targets

FINE_INLIER_PX = 2.0  # at the network's image size
RIGHT_DEG, RIGHT_M = 5.0, 2.0  # of the literature's protocol A


@torch.no_grad()
def match_metrics(matches: Matches, targets: Targets, batch: Batch) -> dict[str, Tensor]:
    """Scalars.

    coarse_recall: share of the superpoints in view whose best superpixel is at most one away from the true one.
    in_view_accuracy: share of superpoints whose being in view is told right. fine_inliers: share of the points in their
    window whose pixel is within FINE_INLIER_PX. fine_error_px: their mean error.
    """
    truth, usable = fine_truth(matches, targets, batch)
    error = (matches.fine.pixels - truth).norm(dim=-1)
    told = (matches.scores.in_view > 0) == targets.visible
    return {
        "coarse_recall": coarse_recall(matches, targets, batch.image.shape[-1] // COARSE_STRIDE),
        "in_view_accuracy": mean_where(told.float(), matches.valid & targets.sure[:, None]),
        "fine_inliers": mean_where((error < FINE_INLIER_PX).float(), usable),
        "fine_error_px": mean_where(error, usable),
    }


@torch.no_grad()
def pose_metrics(matches: Matches, batch: Batch, grid: tuple[int, int]) -> dict[str, Tensor]:
    """Of each pair, (B,): rre_deg, geodesic; rte_m; pose_accuracy, 1 where both are within RIGHT_DEG and RIGHT_M.

    grid: rows and columns of superpixels. Nothing is drawn from torch's own generators.
    """
    assert batch.T_cam_lidar is not None
    with torch.autocast(batch.image.device.type, enabled=False):
        found, truth = poses_from_matches(matches, batch, grid).T.double(), batch.T_cam_lidar.double()
    turn = torch.rad2deg(se3.rotation_angle(found[:, :3, :3] @ truth[:, :3, :3].mT))
    shift = (found[:, :3, 3] - truth[:, :3, 3]).norm(dim=-1)
    return {"rre_deg": turn, "rte_m": shift, "pose_accuracy": ((turn < RIGHT_DEG) & (shift < RIGHT_M)).double()}


def coarse_recall(matches: Matches, targets: Targets, columns: int) -> Tensor:
    """Share of the superpoints in view whose best superpixel is the true one or one next to it.

    columns: superpixels in a row.
    """
    best = matches.scores.similarity.argmax(dim=2)
    place = ((targets.centres + 0.5) / COARSE_STRIDE).floor()
    off = torch.stack([best % columns, best // columns], dim=-1) - place
    return mean_where((off.abs().amax(dim=-1) <= 1).float(), targets.visible)
