"""ResNet (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) with the key names of torchvision.

A block that halves the map does so in its 3x3 convolution ("v1.5"), as the weights that torchvision offers expect; its
state dicts fit but for `fc.*`, which we have no use for. See pretrained.py for loading them.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError

Norm = Literal["batch", "group"]
GROUP_CHANNELS = 8  # at least, so that a group means something even where the map is a single cell
MAX_GROUPS = 32


class ResNet(nn.Module):
    """Maps of an image at strides 2, 4, 8, 16 and 32, each channels `widths`.

    Batch normalisation is what ImageNet weights come with, and its statistics want care, for batches here are small:
    - with pretrained weights call `freeze_statistics()`: the statistics of ImageNet then stay as they are, in training
      too, and any batch size will do; scale and shift of each channel still learn.
    - from random weights on several GPUs use `nn.SyncBatchNorm.convert_sync_batchnorm`; the keys stay the same.
    - from random weights with batches of a few images choose norm "group", which has no statistics to go wrong.

    ReLUs are not in place, so that no map which autograd, a compiler or the feature pyramid still needs is overwritten.
    """

    def __init__(self, block: Literal["basic", "bottleneck"] = "bottleneck",
                 layers: tuple[int, int, int, int] = (3, 4, 6, 3), width: int = 64, channels: int = 3,
                 norm: Norm = "batch", anti_alias: bool = False) -> None:
        """layers: blocks per stage. width: channels of the stem. channels: of the image."""
        super().__init__()
        self.norm: Norm = norm
        self.statistics_frozen = False
        kind = BasicBlock if block == "basic" else Bottleneck
        self.widths = (width, *(width * 2**stage * kind.expansion for stage in range(4)))
        self.conv1 = nn.Conv2d(channels, width, 7, stride=1 if anti_alias else 2, padding=3, bias=False)
        self.bn1 = make_norm(norm, width)
        self.shrink = Blur() if anti_alias else nn.Identity()
        self.maxpool = (nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), Blur()) if anti_alias
                        else nn.MaxPool2d(3, stride=2, padding=1))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(*(kind(self.widths[stage] if i == 0 else self.widths[stage + 1], width * 2**stage,
                                 2 if stage > 0 and i == 0 else 1, norm, anti_alias) for i in range(count)))
            for stage, count in enumerate(layers))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Maps (B, widths[i], H / 2^(i+1), W / 2^(i+1)) of image (B, channels, H, W), sides rounded up."""
        stem = self.shrink(functional.relu(self.bn1(self.conv1(image))))
        stage1 = self.layer1(self.maxpool(stem))
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stem, stage1, stage2, stage3, self.layer4(stage3)

    def freeze_statistics(self) -> None:
        """Keep the running mean and variance of every batch normalisation as they are, from now on.

        They are then used in training as well, so that an image's features depend on that image alone. Raises
        InputError where there are none, with norm "group".
        """
        if self.norm != "batch":
            raise InputError("there are no statistics to freeze with image.norm: group; choose image.norm: batch")
        self.statistics_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> ResNet:
        """As of any module, but that frozen statistics stay so."""
        super().train(mode)
        if self.statistics_frozen:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):  # SyncBatchNorm as well
                    module.eval()
        return self


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside an identity: ResNet-18 and -34."""

    expansion = 1

    def __init__(self, width_in: int, width: int, stride: int, norm: Norm, anti_alias: bool) -> None:
        super().__init__()
        self.conv1 = _convolution(width_in, width, 3, 1 if anti_alias else stride)
        self.bn1 = make_norm(norm, width)
        self.shrink = _shrink(stride, anti_alias)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = make_norm(norm, width)
        self.shortcut_shrink = _shrink(stride, anti_alias)
        self.downsample = _downsample(width_in, width * self.expansion, stride, norm, anti_alias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        y = self.shrink(functional.relu(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.downsample(self.shortcut_shrink(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside an identity: ResNet-50 and deeper."""

    expansion = 4

    def __init__(self, width_in: int, width: int, stride: int, norm: Norm, anti_alias: bool) -> None:
        super().__init__()
        self.conv1 = _convolution(width_in, width, 1)
        self.bn1 = make_norm(norm, width)
        self.conv2 = _convolution(width, width, 3, 1 if anti_alias else stride)
        self.bn2 = make_norm(norm, width)
        self.shrink = _shrink(stride, anti_alias)
        self.conv3 = _convolution(width, width * self.expansion, 1)
        self.bn3 = make_norm(norm, width * self.expansion)
        self.shortcut_shrink = _shrink(stride, anti_alias)
        self.downsample = _downsample(width_in, width * self.expansion, stride, norm, anti_alias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.shrink(functional.relu(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + self.downsample(self.shortcut_shrink(x)))


class Blur(nn.Module):
    """Every second cell after a low-pass of 1 2 1, in both directions.

    Two averages of two, one after the other, make these weights, without a buffer that a state dict would miss; what
    lies beyond the border does not count. Cell i lies where cell 2 i was, as with a convolution of stride 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2), sides rounded up."""
        pairs = functional.avg_pool2d(x, 2, stride=1, padding=1, count_include_pad=False)  # (B, C, H + 1, W + 1)
        return functional.avg_pool2d(pairs, 2, stride=2)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of a map; both kinds call scale and shift `weight` and `bias`."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    groups = max(g for g in range(1, MAX_GROUPS + 1)
                 if channels % g == 0 and (channels // g >= GROUP_CHANNELS or g == 1))
    return nn.GroupNorm(groups, channels)


def _convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width_in, width, kernel, stride=stride, padding=kernel // 2, bias=False)


def _shrink(stride: int, anti_alias: bool) -> nn.Module:
    """What halves a map where the convolution beside it does not."""
    return Blur() if anti_alias and stride == 2 else nn.Identity()


def _downsample(width_in: int, width: int, stride: int, norm: Norm, anti_alias: bool) -> nn.Module:
    """The shortcut of a block; a blur comes before it, outside, so that its keys keep their numbers."""
    if stride == 1 and width_in == width:
        return nn.Identity()
    return nn.Sequential(_convolution(width_in, width, 1, 1 if anti_alias else stride), make_norm(norm, width))
