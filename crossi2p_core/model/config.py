"""Settings of the network. Both sizes, `full` and `light`, are this one class filled from `presets/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

import yaml

from ..config import load_config, option
from ..errors import InputError

SHARED_DIM = 256
"""Dimension of the space in which image and cloud are compared (stated by the paper)."""

PRESETS = ("full", "light")
COARSE_STRIDE = 8  # pixels per superpixel, along each side


@dataclass(frozen=True)
class ImageEncoderConfig:
    """A ResNet with a feature pyramid. The defaults are ResNet-50, as the paper states."""

    channels: int = option(3, low=1, high=64)  # of the image
    block: Literal["basic", "bottleneck"] = "bottleneck"
    layers: tuple[int, int, int, int] = option((3, 4, 6, 3), low=1, high=64)  # blocks per stage
    width: int = option(64, low=8, high=512)  # channels of the stem and of the first stage's inner convolutions
    anti_alias: bool = False  # low-pass before every subsampling (Zhang, "Making Convolutional Networks
    # Shift-Invariant Again", ICML 2019)
    norm: Literal["batch", "group"] = "batch"  # group: for training from random weights with small batches
    dim: int = option(256, low=16, high=1024)  # of the pyramid and of superpixels
    fine_dim: int = option(64, low=8, high=512)  # of the fine map
    fine_stride: Literal[2, 4] = 2  # pixels per cell of the fine map


@dataclass(frozen=True)
class PointEncoderConfig:
    """A hierarchical DGCNN: EdgeConv on a static graph while points are many, dynamic on superpoints."""

    points: int = option(20480, low=64, high=200_000)  # that a cloud is thinned to
    ratio: int = option(4, low=2, high=16)  # each level keeps one in so many
    neighbours: int = option(16, low=4, high=64)  # k of the graphs
    dims: tuple[int, int, int] = option((64, 128, 256), low=8, high=1024)  # per level; the last is of superpoints
    dynamic_layers: int = option(2, low=0, high=8)  # EdgeConv layers on the feature-space graph of superpoints
    fine_dim: int = option(64, low=8, high=512)  # of points
    fine_level: Literal[0, 1] = 0  # whose points the fine stage matches; 0: all, 1: one in `ratio`
    min_range_m: float = option(3.0, low=0.0, high=20.0)  # horizontally; nearer is the vehicle, which tells the heading
    max_range_m: float = option(80.0, low=5.0, high=500.0)

    def __post_init__(self) -> None:
        """Raises InputError where too few superpoints would be left."""
        if self.level_sizes[-1] < self.neighbours:
            raise InputError(f"{self.points} points thinned twice by {self.ratio} leave {self.level_sizes[-1]} "
                             f"superpoints, fewer than neighbours ({self.neighbours}); give more points")

    @property
    def level_sizes(self) -> tuple[int, int, int]:
        """Points per level, superpoints last."""
        return self.points, self.points // self.ratio, self.points // self.ratio**2


@dataclass(frozen=True)
class CoarseConfig:
    """The transformer that matches superpoints to superpixels."""

    dim: int = option(256, low=32, high=1024)
    heads: int = option(4, low=1, high=32)
    layers: int = option(4, low=1, high=24)  # each: self attention in both modalities, then cross attention both ways
    temperature: float = option(0.1, low=0.005, high=1.0)  # of the scores at the start; learned


@dataclass(frozen=True)
class FineConfig:
    """Points of a matched superpoint against the pixels around its superpixel."""

    dim: int = option(128, low=16, high=512)
    heads: int = option(4, low=1, high=16)
    layers: int = option(2, low=0, high=12)
    matches: int = option(256, low=4, high=2048)  # coarse matches that are looked at closely, per pair
    points: int = option(16, low=1, high=64)  # of each superpoint
    window: int = option(8, low=4, high=32)  # cells of the fine map along each side; even, so that it is centred


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides the shape of the weights, and what goes in."""

    size: tuple[int, int] = option((160, 512), low=32, high=4096)  # image height and width, multiples of 32
    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    points: PointEncoderConfig = field(default_factory=PointEncoderConfig)
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    fine: FineConfig = field(default_factory=FineConfig)

    def __post_init__(self) -> None:
        """Raises InputError for values that do not fit each other."""
        if any(side % 32 for side in self.size):
            raise InputError(f"size {self.size} must be multiples of 32 pixels; the ResNet halves it five times")
        for name, part in (("coarse", self.coarse), ("fine", self.fine)):
            if part.dim % (8 * part.heads):
                raise InputError(f"{name}.dim {part.dim} must be a multiple of 8 x {name}.heads ({8 * part.heads})")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of superpixels."""
        return self.size[0] // COARSE_STRIDE, self.size[1] // COARSE_STRIDE


RASTER_CHANNELS = 5  # of a drawn scan: a hit, inverse and log depth, intensity, whether there is any


@dataclass(frozen=True)
class FlowConfig:
    """The flow network: by how many pixels the points of a scan, drawn by a rough extrinsic, are off.

    Its two encoders are alike, of basic blocks; the defaults are a ResNet-10 of half the usual width.
    """

    size: tuple[int, int] = option((96, 320), low=32, high=4096)  # most height and width, multiples of 32
    channels: int = option(3, low=1, high=64)  # of the image
    layers: tuple[int, int, int, int] = option((1, 1, 1, 1), low=1, high=64)  # blocks per stage
    width: int = option(32, low=8, high=512)  # channels of the stem
    coarse_dim: int = option(64, low=16, high=1024)  # of the maps that are compared, at stride 8 ...
    fine_dim: int = option(32, low=8, high=512)  # ... and at stride 4
    reach: tuple[int, int] = option((6, 4), low=1, high=16)  # cells that are compared, at strides 8 and 4
    dim: int = option(96, low=16, high=512)  # of the maps that know of both
    points: int = option(16384, low=64, high=200_000)  # of a scan, in or near the image

    def __post_init__(self) -> None:
        """Raises InputError for a size that does not fit."""
        if any(side % 32 for side in self.size):
            raise InputError(f"flow.size {self.size} must be multiples of 32 pixels; the ResNet halves it five times")

    @property
    def image(self) -> ImageEncoderConfig:
        """The encoder of images."""
        return self._encoder(self.channels)

    @property
    def raster(self) -> ImageEncoderConfig:
        """The encoder of drawn scans."""
        return self._encoder(RASTER_CHANNELS)

    def _encoder(self, channels: int) -> ImageEncoderConfig:
        return ImageEncoderConfig(channels, "basic", self.layers, self.width, norm="group", dim=self.coarse_dim,
                                  fine_dim=self.fine_dim, fine_stride=4)


def preset(name: str) -> NetworkConfig:
    """`full` or `light`. Raises InputError for any other name."""
    if name not in PRESETS:
        raise InputError(f"there is no network '{name}'; use {' or '.join(PRESETS)}, or a YAML file")
    text = resources.files(__package__).joinpath("presets", f"{name}.yaml").read_text()
    return load_config(NetworkConfig, yaml.safe_load(text) or {})
