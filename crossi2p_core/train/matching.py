"""The task itself: what is right about a batch, what the network says of it, and the three losses between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..model.batch import Batch
from ..model.config import NetworkConfig
from ..model.network import Matches, Network
from ..solve.probabilistic.monte_carlo import pose_loss, sample_poses
from ..solve.probabilistic.problem import make_problem
from ..solve.probabilistic.start import random_start
from .config import LOSSES
from .losses import alignment_loss, coarse_loss, fine_loss
from .metrics import match_metrics
from .step import bare
from .targets import choose_matches, targets_of
from .task import Terms
from .views import another_view

TOLD = 0.75  # share of the fine stage's matches that are given; the others are the network's own, right or wrong


class MatchingTask:
    """Superpoints to superpixels, points to pixels, and the pose that follows."""

    loss_names: Sequence[str] = LOSSES

    def __init__(self, config: NetworkConfig, view_pairs: int | None = None) -> None:
        """view_pairs: so many pairs of every batch are also seen from another view; None: all."""
        self.config, self.view_pairs = config, view_pairs

    def terms(self, model: nn.Module, batch: Batch, active: Sequence[str]) -> Terms:
        """The active losses of a batch with T_cam_lidar, and its metrics."""
        # 1. what is right
        targets = targets_of(batch, self.config.grid)
        # 2. what the network says, of this view and of another one
        told = choose_matches(targets, round(TOLD * self.config.fine.matches))
        some = batch if self.view_pairs is None else batch.first(self.view_pairs)
        matches = model(batch, told, another_view(some))
        # 3. how far apart these are
        coarse, fine = coarse_loss(matches, targets), fine_loss(matches, targets, batch)
        losses = {"alignment": alignment_loss(matches, targets), "correspondence": coarse + fine}
        if "pose" in active:
            losses["pose"] = monte_carlo_loss(matches, batch)
        parts = {"coarse_loss": coarse.detach(), "fine_loss": fine.detach()}  # what the monitor compares
        return Terms({name: losses[name] for name in active}, match_metrics(matches, targets, batch) | parts)

    def judge(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Metrics of the network left to itself, and its coarse recall where every cloud is given a wrong image."""
        targets = targets_of(batch, self.config.grid)
        found = match_metrics(model(batch), targets, batch)
        wrong = match_metrics(model(with_wrong_image(batch)), targets, batch)
        return found | {"coarse_recall_wrong_image": wrong["coarse_recall"]}

    def shared_layers(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Both projectors: the last weights that all losses share."""
        network = bare(model)
        assert isinstance(network, Network)
        return network.shared_layers()


def with_wrong_image(batch: Batch) -> Batch:
    """The control: every cloud with the next pair's image, in the same window; a lone one is mirrored instead."""
    other = batch.image.roll(1, dims=0) if len(batch) > 1 else batch.image.flip(-1)
    return replace(batch, image=other * batch.inside[:, None])


def monte_carlo_loss(matches: Matches, batch: Batch) -> Tensor:
    """Minus the log density of the true pose among all poses, given the fine matches; a scalar.

    Divided by the mean weight, as EPro-PnP does by its running mean: growing weights alone would make the gradients
    grow. The batch's own mean, since a running one would be state outside the network.
    """
    assert batch.T_cam_lidar is not None
    fine = matches.fine
    points, pixels, weights = (part.flatten(1, 2).float() for part in (fine.points, fine.pixels, fine.weights))
    with torch.autocast(points.device.type, enabled=False):
        problem = make_problem(points, pixels, weights, batch.K)
        solution = random_start(problem, candidates=0, given=batch.T_cam_lidar[:, None])
        loss = pose_loss(problem, batch.T_cam_lidar, sample_poses(problem, solution))
    usable = loss.isfinite()
    return torch.where(usable, loss, 0.0).sum() / usable.sum().clamp(min=1) / weights.detach().mean().clamp(min=1e-6)
