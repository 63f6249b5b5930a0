"""The flow network: image and drawn scan in, out by how many pixels each drawn point is off, and how sure that is.

After "CMRNet: Camera to LiDAR-Map Registration" (Cattaneo et al., ITSC 2019) and LCCNet (Lv et al., CVPRW 2021): a scan
that is drawn by a rough pose lies beside the image where the pose is wrong, and a network that sees both tells by how
much. We ask for pixels, not for a pose, so that no rig can be learned, any camera will do, and the pose that follows
has matches to be judged by.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import FlowConfig
from .image_encoder import ImageEncoder, ImageFeatures, double
from .resnet import BasicBlock, make_norm

FLOW_STRIDE = 4  # px of a cell, along each side
COARSE_PX = 8.0  # unit of the flow
LOG_SCALES = -3.0, 4.0  # of the scale in px: what is told as sure is never surer, nor ever entirely without weight


@dataclass(frozen=True)
class Flow:
    """For each cell (B, H/4, W/4) of FLOW_STRIDE px, by how much the point drawn there is off.

    pixels: (B, 2, H/4, W/4), what has to be added to its pixel. log_scale: likewise, ln of the scale of a Laplace
    distribution about it, px. coarse: (B, shifts, H/8, W/8) and fine: (B, shifts, H/4, W/4) logits of the shifts of
    `correlation`, in cells, by which each cell's points are off.
    """

    pixels: Tensor
    log_scale: Tensor
    coarse: Tensor
    fine: Tensor

    def at_cells(self) -> tuple[Tensor, Tensor]:
        """Both as (B, cells, 2), row by row."""
        pixels, log_scale = (part.float().flatten(2).transpose(1, 2) for part in (self.pixels, self.log_scale))
        return pixels, log_scale


class FlowNetwork(nn.Module):
    """Two encoders of one shape, what they see compared at strides 8 and 4."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder, self.raster_encoder = ImageEncoder(config.image), ImageEncoder(config.raster)
        dim, fine, (reach, fine_reach) = config.image.dim, config.image.fine_dim, config.reach
        self.log_sharpness = nn.Parameter(torch.tensor([2.5, 2.5]))  # of the cosines, as logits
        self.coarse_in = _into((2 * reach + 1) ** 2 + 2 * dim, config.dim)
        self.surroundings = Surroundings(config.dim)
        self.fine_in = _into((2 * fine_reach + 1) ** 2 + 2 * fine + config.dim, 2 * fine)
        self.fine_block = BasicBlock(2 * fine, 2 * fine, 1, "group", False)
        self.out = nn.Conv2d(2 * fine, 4, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # nothing is off, at first

    def forward(self, image: Tensor, raster: Tensor) -> Flow:
        """Flow of rasters (B R, RASTER_CHANNELS, H, W), R for each image (B, C, H, W) in a row."""
        return self.compare(self.image_encoder(image), raster)

    def compare(self, seen: ImageFeatures, raster: Tensor) -> Flow:
        """Flow of rasters (B R, RASTER_CHANNELS, H, W), R for each of B images in a row that have been looked at."""
        drawn = self.raster_encoder(raster)
        repeat = len(raster) // len(seen.coarse)
        coarse, fine = (part.repeat_interleave(repeat, dim=0) for part in (seen.coarse, seen.fine))
        # 1. what lies within reach, at stride 8, seen in what is all around
        sharp = self.log_sharpness.clamp(max=5.0).exp()
        near = sharp[0] * correlation(drawn.coarse, coarse, self.config.reach[0])
        known = self.surroundings(self.coarse_in(torch.cat([near, drawn.coarse, coarse], dim=1)))
        # 2. what lies close by, at stride 4
        close = sharp[1] * correlation(drawn.fine, fine, self.config.reach[1])
        x = self.fine_in(torch.cat([close, drawn.fine, fine, double(known)], dim=1))
        out = self.out(self.fine_block(x)).float()
        return Flow(COARSE_PX * out[:, :2], out[:, 2:].clamp(*LOG_SCALES), near.float(), close.float())


class Surroundings(nn.Module):
    """A map in which each cell knows what is said far from it: a scan moves as a whole."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.here = BasicBlock(dim, dim, 1, "group", False)
        self.farther = BasicBlock(dim, dim, 2, "group", False)
        self.far = nn.Sequential(BasicBlock(dim, dim, 2, "group", False), BasicBlock(dim, dim, 1, "group", False))
        self.again = BasicBlock(dim, dim, 1, "group", False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) of the same shape."""
        here = self.here(x)
        farther = self.farther(here)
        farther = farther + _cut(double(self.far(farther)), farther)
        return self.again(here + _cut(double(farther), here))


def correlation(drawn: Tensor, seen: Tensor, reach: int) -> Tensor:
    """(B, (2 reach + 1)^2, H, W) cosines of each cell of `drawn` and the cells of `seen` up to `reach` away.

    Both (B, D, H, W). Channels are the shifts, row by row; what lies outside has a cosine of zero.
    """
    span, (height, width) = 2 * reach + 1, drawn.shape[2:]
    a = functional.normalize(drawn, dim=1).permute(0, 2, 3, 1)  # (B, H, W, D)
    b = functional.pad(functional.normalize(seen, dim=1), [reach] * 4).permute(0, 2, 1, 3)  # (B, H + 2r, D, W + 2r)
    aside = torch.arange(width, device=a.device)[:, None] + torch.arange(span, device=a.device)  # (W, span)
    aside = aside.expand(len(a), height, -1, -1)
    # row against row, of which only a band about the diagonal is near
    rows = [(a @ b[:, down:down + height]).gather(3, aside) for down in range(span)]
    return torch.cat(rows, dim=-1).permute(0, 3, 1, 2)


def _into(width: int, dim: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, dim, 1, bias=False), make_norm("group", dim), nn.ReLU())


def _cut(deep: Tensor, like: Tensor) -> Tensor:
    """A doubled map without what rounding up has added."""
    return deep[..., :like.shape[-2], :like.shape[-1]]
