"""What the flow network learns: scans drawn by poses that are off by a known amount, and by how much each point is."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..geometry import se3
from ..model.batch import Batch
from ..model.flow_network import COARSE_PX, FLOW_STRIDE, Flow, FlowNetwork
from ..solve.from_flow import Drawn, approach, draw
from ..solve.probabilistic.levenberg_marquardt import moved
from .config import StartsConfig
from .losses import mean_where
from .matching import with_wrong_image
from .step import bare
from .targets import nearest_depths, project_one, seen
from .task import Terms

FARTHEST_PX = 72.0  # points that are farther off are not learned from: they lie beyond what is compared


class FlowTask:
    """Flow of drawn scans, and, so that there is something to compare from the start, the shifts of the correlation."""

    loss_names: Sequence[str] = ("flow", "shift")

    def __init__(self, starts: StartsConfig) -> None:
        self.starts = starts

    def terms(self, model: nn.Module, batch: Batch, active: Sequence[str]) -> Terms:
        """The loss of a batch with T_cam_lidar, of `starts.per_pair` starts for each of its pairs."""
        # 1. scans drawn where they should not be
        drawn = draw(batch, draw_starts(batch, self.starts))
        # 2. by how much that is off, and what the network says
        truth, usable = flow_truth(drawn, batch)
        flow = model(batch.image, drawn.raster.picture)
        # 3. how far apart these are
        off, _ = flow.at_cells()
        metrics = {"flow_px": mean_where((off.detach() - truth).norm(dim=-1), usable),
                   "start_px": mean_where(truth.norm(dim=-1), usable)}
        losses = {"flow": flow_loss(flow, truth, usable), "shift": shift_loss(flow, truth, usable)}
        return Terms({name: losses[name] for name in active}, metrics)

    def judge(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Errors of the poses that starts lead to, with the right and with a wrong image; of each pair the same start
        every time, whatever it is batched with."""
        network, truth = cast(FlowNetwork, bare(model)), batch.T_cam_lidar
        assert truth is not None
        start = own_starts(batch, self.starts)
        found = errors(approach(network, batch, start)[0].T, truth, "")
        found |= errors(approach(network, with_wrong_image(batch), start)[0].T, truth, "_wrong_image")
        return found | errors(start, truth, "_start")

    def shared_layers(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """None: GradNorm does not balance these losses, as TrainConfig says."""
        return []


def errors(T: Tensor, truth: Tensor, name: str) -> dict[str, Tensor]:
    """Of each pair, (B,): rre_deg, geodesic, and rte_m, with `name` behind them; of poses (B, 4, 4)."""
    turn = se3.rotation_angle(T[:, :3, :3].double() @ truth[:, :3, :3].double().mT)
    return {f"rre_deg{name}": torch.rad2deg(turn), f"rte_m{name}": (T[:, :3, 3] - truth[:, :3, 3]).norm(dim=-1)}


def draw_starts(batch: Batch, starts: StartsConfig, generator: torch.Generator | None = None) -> Tensor:
    """(B R, 4, 4) poses that are off by up to starts.deg and starts.m, R for each pair in a row.

    About any axis and in any direction; even in the logarithm, so that small errors are as many as large ones. A long
    focal length turns less far: by no more than the network can see.
    """
    assert batch.T_cam_lidar is not None
    truth = batch.T_cam_lidar.repeat_interleave(starts.per_pair, dim=0)
    focal = batch.K[:, 0, 0].repeat_interleave(starts.per_pair)
    most = torch.stack([(0.75 * FARTHEST_PX / focal).clamp(max=math.radians(starts.deg)),
                        torch.full_like(focal, starts.m)], dim=1)  # (B R, 2) rad and m
    size = most * starts.span ** (-torch.rand(most.shape, generator=generator, device=most.device))
    axis = torch.randn(len(truth), 2, 3, generator=generator, device=most.device)
    xi = size[..., None] * axis / axis.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return moved(truth, xi.flatten(1))


def own_starts(batch: Batch, starts: StartsConfig) -> Tensor:
    """(B, 4, 4) poses as `draw_starts` draws them, each by what the pair itself is: its camera and scan."""
    one, drawn = replace(starts, per_pair=1), []
    for pair in (batch.only(index).to("cpu") for index in range(len(batch))):
        said = b"".join(part.numpy().tobytes() for part in (pair.K, pair.cloud.xyz[0]))
        drawn.append(draw_starts(pair, one, torch.Generator().manual_seed(zlib.crc32(said))))
    return torch.cat(drawn).to(batch.image.device)


@torch.no_grad()
def flow_truth(drawn: Drawn, batch: Batch) -> tuple[Tensor, Tensor]:
    """(B R, cells, 2) px by which drawn points are off, and (B R, cells) bool: where the image shows the point."""
    assert batch.T_cam_lidar is not None
    points, valid = batch.cloud.xyz[0], batch.cloud.valid[0]
    pixels, depth = project_one(points, batch.T_cam_lidar, batch.K)
    shown = seen(pixels, depth, valid, batch.inside, nearest_depths(pixels, depth, valid, batch.inside))
    repeat, index = len(drawn.pixels) // len(batch), drawn.raster.point
    pixels, shown = pixels.repeat_interleave(repeat, dim=0), shown.repeat_interleave(repeat, dim=0)
    both = index[..., None].expand(-1, -1, 2)
    off = pixels.gather(1, both) - drawn.pixels.gather(1, both)
    usable = drawn.raster.hit & shown.gather(1, index) & (off.norm(dim=-1) < FARTHEST_PX)
    return off, usable


def flow_loss(flow: Flow, truth: Tensor, usable: Tensor) -> Tensor:
    """Minus the log likelihood of the true flow (B, cells, 2) under Laplace distributions, over usable cells."""
    off, log_scale = flow.at_cells()
    loss = (off - truth).abs() * (-log_scale).exp() + log_scale
    return mean_where(loss.sum(dim=-1), usable)


def shift_loss(flow: Flow, truth: Tensor, usable: Tensor) -> Tensor:
    """Cross entropy of the shifts that the correlations tell, at both strides; truth (B, cells, 2) px and usable (B,
    cells) are those of the finer one, in whose cells the mean of the coarser is taken."""
    fine = truth.transpose(1, 2).unflatten(2, flow.fine.shape[2:])  # (B, 2, H/4, W/4)
    told = usable.unflatten(1, flow.fine.shape[2:])[:, None].float()
    share = functional.avg_pool2d(told, 2)
    coarse = functional.avg_pool2d(fine * told, 2) / share.clamp(min=0.1)
    return (_shift_entropy(flow.fine, fine / FLOW_STRIDE, told[:, 0] > 0)
            + _shift_entropy(flow.coarse, coarse / COARSE_PX, share[:, 0] > 0))


def _shift_entropy(logits: Tensor, truth: Tensor, usable: Tensor) -> Tensor:
    """Of logits (B, span^2, H, W), with the true shift (B, 2, H, W) in cells shared by the four around it."""
    span = round(math.sqrt(logits.shape[1]))
    place = truth + span // 2  # columns and rows of the window
    first = place.floor()
    within = usable & (first >= 0).all(dim=1) & (first < span - 1).all(dim=1)
    share, index = place - first, first.long().clamp(0, span - 2)
    log_share = logits.log_softmax(dim=1)
    entropy = torch.zeros_like(share[:, 0])
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (share[:, 0] if right else 1 - share[:, 0]) * (share[:, 1] if down else 1 - share[:, 1])
        cell = (index[:, 1] + down) * span + index[:, 0] + right
        entropy = entropy - weight * log_share.gather(1, cell[:, None])[:, 0]
    return mean_where(entropy, within)
