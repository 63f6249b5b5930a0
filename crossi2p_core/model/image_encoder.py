"""The image encoder: a ResNet and a feature pyramid over it (Lin et al., "Feature Pyramid Networks", CVPR 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ImageEncoderConfig
from .resnet import ResNet, make_norm

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of values in 0..1


@dataclass(frozen=True)
class ImageFeatures:
    """Features of superpixels, coarse: (B, dim, H/8, W/8), and of pixels, fine: (B, fine_dim, H/s, W/s), s fine_stride.

    Sides are rounded up. What convolutions of stride 2 see is centred at pixel s i for cell i, while a cell is said to
    lie at s i + (s - 1) / 2: a constant which the last 3x3 convolution of each map learns.
    """

    coarse: Tensor
    fine: Tensor


class ImageEncoder(nn.Module):
    """ImageFeatures of images in 0..1, which it normalises itself: as ImageNet where there are three channels.

    `backbone` is the ResNet (pretrained.py loads it), `pyramid` all that is trained from random weights. The pyramid
    always normalises by groups, so with `backbone.freeze_statistics()` or norm "group" an image's features do not
    depend on the others of its batch, in training neither.

    Zeros where a recording does not reach count as black. A convolution sees them from as far as it looks, and the
    statistics of a group are taken over the whole map: wide padding changes features everywhere a little, more near it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if config.channels == 3 else ((0.5,), (0.5,))
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.backbone = ResNet(config.block, config.layers, config.width, config.channels, config.norm,
                               config.anti_alias)
        self.pyramid = FeaturePyramid(self.backbone.widths, config.dim, config.fine_dim, config.fine_stride)

    def forward(self, image: Tensor) -> ImageFeatures:
        """Features of image (B, channels, H, W) in 0..1; any memory format."""
        return self.pyramid(self.backbone((image - self.mean) / self.std))


class FeaturePyramid(nn.Module):
    """Deep maps, which know what is there, added from the top down to shallow ones, which know where."""

    def __init__(self, widths: tuple[int, ...], dim: int, fine_dim: int, fine_stride: int) -> None:
        """widths: channels at strides 2, 4, 8, 16 and 32."""
        super().__init__()
        self.laterals = nn.ModuleList(_lateral(width, dim) for width in widths[2:])
        self.coarse_out = _out(dim)
        self.narrow = nn.Conv2d(dim, fine_dim, 1)
        fine_widths = widths[:2] if fine_stride == 2 else widths[1:2]
        self.fine_laterals = nn.ModuleList(_lateral(width, fine_dim) for width in fine_widths)
        self.fine_out = _out(fine_dim)

    def forward(self, maps: tuple[Tensor, ...]) -> ImageFeatures:
        """Both outputs, of maps at strides 2, 4, 8, 16 and 32."""
        x = self.laterals[-1](maps[-1])
        for lateral, shallow in zip(reversed(self.laterals[:-1]), reversed(maps[2:-1]), strict=True):
            x = _add(lateral(shallow), x)
        fine = self.narrow(x)
        shallows = maps[2 - len(self.fine_laterals):2]
        for lateral, shallow in zip(reversed(self.fine_laterals), reversed(shallows), strict=True):
            fine = _add(lateral(shallow), fine)
        return ImageFeatures(self.coarse_out(x), self.fine_out(fine))


def double(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2 H, 2 W), linearly; cell i becomes cell 2 i, so that maps stay where they were seen.

    (`interpolate` knows no such mode: its cells either share their outer edges, half a cell off, or their corners.)
    """
    repeated = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    # The mean of each cell and its successor; one cell more comes out at the start, where nothing precedes.
    return functional.avg_pool2d(repeated, 2, stride=1, padding=1, count_include_pad=False)[..., 1:, 1:]


def _add(shallow: Tensor, deep: Tensor) -> Tensor:
    """shallow (B, C, H, W) and the deep map of half its size, rounded up."""
    return shallow + double(deep)[..., :shallow.shape[-2], :shallow.shape[-1]]


def _lateral(width: int, dim: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, dim, 1, bias=False), make_norm("group", dim))


def _out(dim: int) -> nn.Module:
    """Makes one map of what the sum of several has left side by side."""
    return nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), make_norm("group", dim), nn.ReLU(),
                         nn.Conv2d(dim, dim, 1))
