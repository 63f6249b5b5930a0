"""The task itself: what is right about a batch, what the network says of it, and the three losses between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..model.batch import Batch
from ..model.config import NetworkConfig
from ..model.network import Matches, Network
from ..solve.probabilistic.monte_carlo import mean_pose_loss
from .config import LOSSES
from .losses import ASTRAY_PX, alignment_loss, coarse_loss, fine_loss
from .metrics import match_metrics, pose_metrics
from .step import bare
from .targets import MIN_DEPTH_M, Targets, choose_matches, project_one, targets_of
from .task import Terms
from .views import another_view

MOST_MATCHES = 512  # that the pose loss is made of: its cost grows with them
FEWEST_MATCHES = 12
TOLD = 0.75  # share of the fine stage's matches that are given; the others are the network's own, right or wrong


class MatchingTask:
    """Superpoints to superpixels, points to pixels, and the pose that follows."""

    loss_names: Sequence[str] = LOSSES

    def __init__(self, config: NetworkConfig, view_pairs: int | None = None, poses: bool = False) -> None:
        """view_pairs: so many pairs of every batch are also seen from another view; None: all; 0 leaves the contrast
        within the modalities out. poses: judge these."""
        self.config, self.view_pairs, self.poses = config, view_pairs, poses

    def terms(self, model: nn.Module, batch: Batch, active: Sequence[str]) -> Terms:
        """The active losses of a batch with T_cam_lidar, and its metrics."""
        # 1. what is right
        targets = targets_of(batch, self.config.grid)
        # 2. what the network says, of this view and of another one
        matches = self.ask(model, batch, targets)
        # 3. how far apart these are
        return self.compare(matches, targets, batch, active)

    def ask(self, model: nn.Module, batch: Batch, targets: Targets) -> Matches:
        """What the network says, given most of the fine stage's matches."""
        told = choose_matches(targets, round(TOLD * self.config.fine.matches))
        some = batch if self.view_pairs is None else batch.first(self.view_pairs)
        return model(batch, told, another_view(some) if len(some) else None)

    def compare(self, matches: Matches, targets: Targets, batch: Batch, active: Sequence[str]) -> Terms:
        """The active ones of LOSSES, and metrics."""
        coarse, fine = coarse_loss(matches, targets), fine_loss(matches, targets, batch)
        losses = {"alignment": alignment_loss(matches, targets), "correspondence": coarse + fine}
        if "pose" in active:
            losses["pose"] = monte_carlo_loss(matches, batch, targets.sure)
        parts = {"coarse_loss": coarse.detach(), "fine_loss": fine.detach()}  # what the monitor compares
        return Terms({name: losses[name] for name in active if name in losses},
                     match_metrics(matches, targets, batch) | parts)

    def judge(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Metrics of the network left to itself, and its coarse recall where every cloud is given a wrong image; with
        `poses` also the errors of poses, for each pair."""
        targets, other = targets_of(batch, self.config.grid), with_wrong_image(batch)
        right, wrong = model(batch), model(other)
        found = match_metrics(right, targets, batch)
        found["coarse_recall_wrong_image"] = match_metrics(wrong, targets, other)["coarse_recall"]
        if self.poses:
            found |= pose_metrics(right, batch, self.config.grid)
            poses = pose_metrics(wrong, other, self.config.grid)
            found |= {f"{name}_wrong_image": value for name, value in poses.items()}
        return found

    def shared_layers(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Both projectors: the last weights that all losses share."""
        network = bare(model)
        assert isinstance(network, Network)
        return network.shared_layers()


def with_wrong_image(batch: Batch) -> Batch:
    """The control: every cloud with another frame's image. In the same window where the batch has such an image; else
    the next pair's, which may be from a camera that is turned otherwise, or of a lone pair its own, mirrored."""
    if batch.wrong is not None:
        return replace(batch, image=batch.wrong)
    other = batch.image.roll(1, dims=0) if len(batch) > 1 else batch.image.flip(-1)
    return replace(batch, image=other * batch.inside[:, None])


def monte_carlo_loss(matches: Matches, batch: Batch, sure: Tensor) -> Tensor:
    """Minus the log density of the true pose among all poses, given the fine matches; a scalar, over the pairs that are
    sure, (B,) bool.

    Of MOST_MATCHES drawn at random, those that are astray by the truth left out: their residuals would drown all
    others, and that they are to weigh little, `fine_loss` tells them.
    """
    assert batch.T_cam_lidar is not None
    points, pixels, weights = _drawn(matches)
    truth, depth = project_one(points, batch.T_cam_lidar, batch.K)
    near = (depth > MIN_DEPTH_M) & ((pixels.detach() - truth).abs().amax(dim=-1) < ASTRAY_PX)
    return mean_pose_loss(points, pixels, weights * near[..., None], batch.K, batch.T_cam_lidar,
                          sure & (near.sum(dim=1) >= FEWEST_MATCHES))


def _drawn(matches: Matches) -> tuple[Tensor, Tensor, Tensor]:
    """Points (B, n, 3), pixels (B, n, 2) and weights (B, n, 2) of up to MOST_MATCHES fine matches, in float32."""
    fine = matches.fine
    every = [part.flatten(1, 2).float() for part in (fine.points, fine.pixels, fine.weights)]
    kept = torch.randperm(every[0].shape[1], device=every[0].device)[:MOST_MATCHES]
    points, pixels, weights = (part[:, kept] for part in every)
    return points, pixels, weights
