"""What a synthetic world is made of: solid primitives with a material each, as one batch of tensors.

The world frame has z up; the ground is about z = 0. A primitive has its own frame: origin at its centre, axes the
columns of `rotation`. Everything visible is one of three shapes, so that one ray-caster serves cameras and LiDARs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

PARAMETERS = 8  # numbers a material may read beside its colours


class Shape(IntEnum):
    """BOX: |z| <= hz, and each side may lean by its taper. CYLINDER: elliptic, about z. ELLIPSOID: axis-aligned."""

    ABSENT = -1
    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


class Material(IntEnum):
    """What a surface is; decides texture, gloss, near-infrared reflectance and holes. Parameters: see the textures."""

    ROAD = 0
    PAVING = 1
    GRASS = 2
    FACADE = 3
    ROOF = 4
    PAINT = 5
    GLASS = 6
    RUBBER = 7
    BARK = 8
    LEAVES = 9
    METAL = 10
    SIGN = 11
    CLOTH = 12
    FENCE = 13
    CONCRETE = 14
    CARGO = 15
    CONTAINER = 16
    FLOOR = 17
    CEILING = 18
    LAMP = 19
    PLASTER = 20


@dataclass(frozen=True)
class World:
    """B worlds of P primitives each; worlds with fewer are filled up with Shape.ABSENT.

    shape, material: (B, P) int64. center: (B, P, 3) m. rotation: (B, P, 3, 3), R_world_primitive. half: (B, P, 3) half
    sizes in m. taper: (B, P, 4) how far the sides +x, -x, +y, -y of a box lean inwards per metre of height.
    color, color2: (B, P, 3) linear albedo. params: (B, P, PARAMETERS). holes: (B, P) share of a crown or fence that
    light passes. indoors: (B,) bool, no sky and no sun.
    """

    shape: Tensor
    material: Tensor
    center: Tensor
    rotation: Tensor
    half: Tensor
    taper: Tensor
    color: Tensor
    color2: Tensor
    params: Tensor
    holes: Tensor
    indoors: Tensor

    @property
    def device(self) -> torch.device:
        return self.center.device

    def __len__(self) -> int:
        """How many worlds are in this batch."""
        return len(self.center)

    def to(self, device: str | torch.device) -> World:
        """The same worlds on another device."""
        return World(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def stack_worlds(worlds: list[World]) -> World:
    """One batch from several, each filled up to the largest number of primitives."""
    most = max(w.shape.shape[1] for w in worlds)
    filling = {"shape": int(Shape.ABSENT)}

    def padded(values: Tensor, name: str) -> Tensor:
        missing = most - values.shape[1]
        fill = values.new_full((len(values), missing, *values.shape[2:]), filling.get(name, 0))
        return torch.cat([values, fill], 1)

    names = [f.name for f in fields(World) if f.name != "indoors"]
    stacked = {name: torch.cat([padded(getattr(w, name), name) for w in worlds]) for name in names}
    return World(**stacked, indoors=torch.cat([w.indoors for w in worlds]))


class Builder:
    """Collects primitives of one world, many at a time, in numpy; `build` makes the World."""

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []

    def add(self, shape: Shape, material: Material, center: Any, half: Any, yaw: Any = 0.0, *, rotation: Any = None,
            taper: Any = (0, 0, 0, 0), color: Any = (0.5, 0.5, 0.5), color2: Any = None, params: Any = (),
            holes: Any = 0.0) -> None:
        """Add n primitives; every argument is one value for all or has a leading axis of n.

        center, half: (n, 3) m. yaw: (n,) rad about z, or rotation: (n, 3, 3). params: (n, <= PARAMETERS), the rest 0.
        """
        center = np.atleast_2d(np.asarray(center, dtype=np.float64))
        n = len(center)
        turn = rotation_z(np.broadcast_to(yaw, n)) if rotation is None else np.asarray(rotation)
        given = np.atleast_2d(np.asarray(params, dtype=np.float64))
        full = np.zeros((n, PARAMETERS))
        full[:, :given.shape[1]] = given
        wide = {"center": (center, 3), "half": (half, 3), "taper": (taper, 4), "color": (color, 3),
                "color2": (color if color2 is None else color2, 3)}
        part = {name: np.broadcast_to(np.asarray(v, dtype=np.float64), (n, k)) for name, (v, k) in wide.items()}
        part |= {"shape": np.full(n, int(shape)), "material": np.full(n, int(material)), "params": full,
                 "rotation": np.broadcast_to(turn, (n, 3, 3)), "holes": np.broadcast_to(np.float64(holes), n)}
        self._parts.append(part)

    def build(self, indoors: bool = False, device: str | torch.device = "cpu") -> World:
        """A batch of one world with everything added so far."""
        whole = {name: np.concatenate([p[name] for p in self._parts])[None] for name in self._parts[0]}
        tensors = {name: torch.from_numpy(values.astype(np.int64 if values.dtype.kind == "i" else np.float32))
                   for name, values in whole.items()}
        return World(**tensors, indoors=torch.tensor([indoors])).to(device)


def rotation_z(yaw: Any) -> np.ndarray:
    """(..., 3, 3) rotations by `yaw` (...) rad about the vertical axis."""
    yaw = np.asarray(yaw, dtype=np.float64)
    c, s, o, i = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    return np.stack([c, -s, o, s, c, o, o, o, i], -1).reshape(*yaw.shape, 3, 3)


def place(anchor: np.ndarray, offset: Any) -> np.ndarray:
    """(n, 3) world positions of a local `offset` ((3,) or (n, 3) m) seen from anchors (n, 4): x, y, z, yaw."""
    anchor = np.atleast_2d(anchor)
    local = np.broadcast_to(np.asarray(offset, dtype=np.float64), (len(anchor), 3))
    return anchor[:, :3] + (rotation_z(anchor[:, 3]) @ local[..., None])[..., 0]
