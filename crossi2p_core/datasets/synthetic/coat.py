"""How a surface answers light: for the camera in colours, for the LiDAR in the near infrared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coat:
    """n surface points. color: (n, 3) linear albedo. infrared: (n,) reflectance at 905 nm.

    mirror: (n,) share reflected like a mirror at normal incidence. glow: (n,) light of its own, as a factor of `color`.
    retro: (n,) share of a retroreflector. loss: (n,) how much of a laser pulse goes through or away.
    """

    color: Tensor
    infrared: Tensor
    mirror: Tensor
    glow: Tensor
    retro: Tensor
    loss: Tensor


def coat_of(color: Tensor, infrared: Tensor, mirror: Tensor | None = None, glow: Tensor | None = None,
            retro: Tensor | None = None, loss: Tensor | None = None) -> Coat:
    """A Coat in which what is not given is zero."""
    nothing = torch.zeros_like(infrared)
    return Coat(color, infrared, *(nothing if values is None else values for values in (mirror, glow, retro, loss)))
