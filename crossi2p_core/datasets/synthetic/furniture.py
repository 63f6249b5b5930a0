"""What stands beside the way: poles, lamps, signs, people, bins, fences and walls."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .world import Builder, Material, Shape, place

_CLOTHES = np.array([[0.03, 0.03, 0.04], [0.06, 0.08, 0.2], [0.35, 0.05, 0.05], [0.5, 0.5, 0.48], [0.12, 0.12, 0.12],
                     [0.08, 0.16, 0.1], [0.45, 0.35, 0.1], [0.2, 0.13, 0.08]])
_SKIN = np.array([[0.5, 0.32, 0.24], [0.28, 0.16, 0.1], [0.6, 0.42, 0.34]])


def add_lamps(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """Street lamps at anchors (n, 4) whose arm reaches along local +x."""
    n = len(anchor)
    if n == 0:
        return
    height = np.full(n, rng.uniform(6.0, 9.0))
    grey = np.full((n, 3), rng.uniform(0.1, 0.4))
    builder.add(Shape.CYLINDER, Material.METAL, place(anchor, np.stack([0 * height, 0 * height, height / 2], -1)),
                np.stack([0.075 + 0 * height, 0.075 + 0 * height, height / 2], -1), color=grey)
    builder.add(Shape.CYLINDER, Material.METAL, place(anchor, (0, 0, 0.5)), (0.12, 0.12, 0.5), color=grey)
    builder.add(Shape.BOX, Material.METAL, place(anchor, np.stack([0.8 + 0 * height, 0 * height, height], -1)),
                (0.8, 0.05, 0.04), anchor[:, 3], color=grey)
    builder.add(Shape.BOX, Material.METAL, place(anchor, np.stack([1.7 + 0 * height, 0 * height, height - .02], -1)),
                (0.35, 0.13, 0.07), anchor[:, 3], color=(0.5, 0.5, 0.5))


def add_signs(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """Traffic signs on poles at anchors (n, 4) that face local -x (traffic that comes along +x)."""
    n = len(anchor)
    if n == 0:
        return
    height, size = rng.uniform(2.2, 2.9, n), rng.uniform(0.28, 0.40, n)
    style = rng.integers(0, 5, n)  # see the sign's texture: red ring, blue disc, warning triangle, stop, blue square
    builder.add(Shape.CYLINDER, Material.METAL, place(anchor, np.stack([0 * size, 0 * size, (height + size) / 2], -1)),
                np.stack([0.035 + 0 * size, 0.035 + 0 * size, (height + size) / 2], -1), color=(0.42, 0.42, 0.42))
    board = place(anchor, np.stack([-0.05 + 0 * size, 0 * size, height], -1))
    square, thin = style == 4, np.array([[0.012, 1, 1]])
    builder.add(Shape.BOX, Material.SIGN, board[square], (thin * size[:, None] ** [0, 1, 1])[square],
                anchor[square, 3], params=style[square, None])
    flat = ~square
    lying = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # a disc: the cylinder's z along local x
    yaw = anchor[flat, 3]
    c, s, o, i = np.cos(yaw), np.sin(yaw), 0 * yaw, 1 + 0 * yaw
    turn = np.stack([c, -s, o, s, c, o, o, o, i], -1).reshape(-1, 3, 3) @ lying
    half = np.stack([size, size, 0.012 + 0 * size], -1)[flat]
    builder.add(Shape.CYLINDER, Material.SIGN, board[flat], half, rotation=turn, params=style[flat, None])


def add_people(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """People who stand or walk along local x at anchors (n, 4): legs, torso, arms, head."""
    n = len(anchor)
    if n == 0:
        return
    tall = rng.uniform(1.55, 1.9, n)
    top, legs = _CLOTHES[rng.integers(0, len(_CLOTHES), n)], _CLOTHES[rng.integers(0, len(_CLOTHES), n)]
    skin, yaw = _SKIN[rng.integers(0, len(_SKIN), n)], anchor[:, 3]
    stride = rng.uniform(0.0, 0.32, n)

    def part(shape: Shape, x: ArrayLike, y: ArrayLike, z: float, half: tuple[float, float, float], color: np.ndarray,
             taper: tuple[float, ...] = (0, 0, 0, 0)) -> None:
        offset = np.stack(np.broadcast_arrays(x, y, z * tall), -1)
        size = np.stack(np.broadcast_arrays(half[0], half[1], half[2] * tall), -1)
        builder.add(shape, Material.CLOTH, place(anchor, offset), size, yaw, taper=taper, color=color)

    for side in (1, -1):
        part(Shape.BOX, side * stride * 0.6, side * 0.09, 0.24, (0.085, 0.075, 0.24), legs)
        part(Shape.CYLINDER, -side * stride * 0.4, side * 0.25, 0.62, (0.055, 0.055, 0.17), top)
    part(Shape.BOX, 0.0, 0.0, 0.65, (0.14, 0.24, 0.18), top, (0.03, 0.03, 0.12, 0.12))
    part(Shape.ELLIPSOID, 0.0, 0.0, 0.82, (0.10, 0.20, 0.045), top)
    part(Shape.ELLIPSOID, 0.02, 0.0, 0.925, (0.10, 0.085, 0.072), skin)


def add_bins(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """Dustbins and switch boxes at anchors (n, 4)."""
    n = len(anchor)
    if n == 0:
        return
    half = rng.uniform((0.25, 0.22, 0.45), (0.6, 0.35, 0.75), (n, 3))
    color = rng.uniform(0.04, 0.35, (n, 1)) * rng.uniform(0.7, 1.0, (n, 3))
    builder.add(Shape.BOX, Material.METAL, place(anchor, half * (0, 0, 1)), half, anchor[:, 3], color=color,
                taper=(-0.04, -0.04, -0.04, -0.04))


def add_bollards(builder: Builder, anchor: np.ndarray) -> None:
    """Waist-high posts at anchors (n, 4)."""
    if len(anchor):
        builder.add(Shape.CYLINDER, Material.METAL, place(anchor, (0, 0, 0.5)), (0.06, 0.06, 0.5),
                    color=(0.25, 0.25, 0.25))
        builder.add(Shape.CYLINDER, Material.METAL, place(anchor, (0, 0, 0.88)), (0.064, 0.064, 0.06),
                    color=(0.6, 0.6, 0.6))


def add_fences(builder: Builder, anchor: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> None:
    """Slatted fences along the local x of anchors (n, 4), `length` (n,) m, with a post at each end."""
    n = len(anchor)
    if n == 0:
        return
    height = np.full(n, rng.uniform(0.9, 1.6))
    color = rng.uniform(0.06, 0.4) * np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.6, 1.0)])
    builder.add(Shape.BOX, Material.FENCE, place(anchor, np.stack([0 * height, 0 * height, height / 2 + .06], -1)),
                np.stack([length / 2, 0.02 + 0 * height, height / 2], -1), anchor[:, 3], color=color, holes=0.45)
    for end in (-1, 1):
        post = np.stack([end * length / 2, 0 * height, height / 2 + 0.06], -1)
        builder.add(Shape.BOX, Material.CONCRETE, place(anchor, post),
                    np.stack([0.06 + 0 * height, 0.06 + 0 * height, height / 2 + .06], -1), anchor[:, 3],
                    color=np.clip(color * 1.3, 0, 0.6))


def add_walls(builder: Builder, anchor: np.ndarray, length: np.ndarray, height: np.ndarray,
              color: tuple[float, float, float] = (0.36, 0.34, 0.31)) -> None:
    """Plain walls along the local x of anchors (n, 4)."""
    if len(anchor):
        offset = np.stack([0 * height, 0 * height, height / 2], -1)
        builder.add(Shape.BOX, Material.CONCRETE, place(anchor, offset),
                    np.stack([length / 2, 0.12 + 0 * height, height / 2], -1), anchor[:, 3], color=color)
