"""Houses: a facade box that the facade texture gives storeys, windows and doors, a roof, chimneys, balconies."""

from __future__ import annotations

import numpy as np

from .world import Builder, Material, Shape, place

_WALLS = np.array([[0.62, 0.58, 0.50], [0.55, 0.50, 0.38], [0.70, 0.69, 0.66], [0.42, 0.22, 0.16], [0.50, 0.36, 0.27],
                   [0.38, 0.38, 0.38], [0.60, 0.52, 0.40], [0.30, 0.17, 0.13], [0.52, 0.55, 0.55], [0.65, 0.55, 0.42]])
_TILES = np.array([[0.22, 0.09, 0.06], [0.13, 0.07, 0.055], [0.09, 0.09, 0.095], [0.17, 0.11, 0.09]])


def add_houses(builder: Builder, anchor: np.ndarray, size: np.ndarray, rng: np.random.Generator,
               pitched: float = 0.7, shops: float = 0.25) -> None:
    """Houses with their middle at anchors (n, 4) and their front along local x.

    size: (n, 3) width along the street, depth, height of the walls (m). pitched: share of pitched roofs. shops: share
    of houses with shop windows on the ground floor.
    """
    n = len(anchor)
    if n == 0:
        return
    base = rng.integers(0, len(_WALLS), n)
    wall = np.clip(_WALLS[base] * rng.uniform(0.8, 1.1, (n, 1)), 0, 0.85)
    trim = np.clip(wall * rng.uniform(0.55, 1.4, (n, 1)) + 0.05, 0, 0.85)
    storey = np.clip(size[:, 2] / np.maximum(np.round(size[:, 2] / 3.1), 1), 2.6, 4.2)
    pitch = rng.uniform(1.7, 2.9, n)
    brick = np.isin(base, (3, 4, 7)) * 1.0
    params = np.stack([storey, pitch, pitch * rng.uniform(0.36, 0.55, n), rng.uniform(1.2, 1.7, n),
                       rng.integers(0, 9999, n), brick, (rng.random(n) < shops) * 1.0, rng.uniform(0.08, 0.24, n)], -1)
    builder.add(Shape.BOX, Material.FACADE, place(anchor, size * (0, 0, 0.5)), size / 2, anchor[:, 3], color=wall,
                color2=trim, params=params)
    steep = rng.random(n) < pitched
    _add_pitched_roofs(builder, anchor[steep], size[steep], rng)
    _add_flat_roofs(builder, anchor[~steep], size[~steep], wall[~steep])
    bay = rng.random(n) < 0.25
    _add_balconies(builder, anchor[bay], size[bay], storey[bay], trim[bay], rng)


def _add_pitched_roofs(builder: Builder, anchor: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> None:
    n = len(anchor)
    if n == 0:
        return
    over = 0.35
    rise = size[:, 1] / 2 * rng.uniform(0.55, 1.0, n)
    half = np.stack([size[:, 0] / 2 + 0.05, size[:, 1] / 2 + over, rise / 2], -1)
    lean = half[:, 1] / rise * 0.98
    color = _TILES[rng.integers(0, len(_TILES), n)] * rng.uniform(0.8, 1.2, (n, 1))
    hip = (rng.random(n) < 0.25) * lean * 0.6
    top = np.stack([0 * rise, 0 * rise, size[:, 2] + rise / 2], -1)
    builder.add(Shape.BOX, Material.ROOF, place(anchor, top), half, anchor[:, 3],
                taper=np.stack([hip, hip, lean, lean], -1), color=color, params=rng.integers(0, 999, (n, 1)))
    chimney = np.stack([size[:, 0] * rng.uniform(-0.25, 0.25, n), size[:, 1] * 0.12, size[:, 2] + rise * 0.75], -1)
    builder.add(Shape.BOX, Material.CONCRETE, place(anchor, chimney), np.stack([0.35 + 0 * rise, 0.3 + 0 * rise,
                rise * 0.25 + 0.7], -1), anchor[:, 3], color=(0.22, 0.12, 0.09))


def _add_flat_roofs(builder: Builder, anchor: np.ndarray, size: np.ndarray, wall: np.ndarray) -> None:
    if len(anchor):
        half = size / 2 + (0.18, 0.18, 0)
        half[:, 2] = 0.2
        builder.add(Shape.BOX, Material.PLASTER, place(anchor, size * (0, 0, 1) + (0, 0, 0.2)), half, anchor[:, 3],
                    color=wall * 0.8)


def _add_balconies(builder: Builder, anchor: np.ndarray, size: np.ndarray, storey: np.ndarray, color: np.ndarray,
                   rng: np.random.Generator) -> None:
    """One balcony per storey above the ground floor, up to two, on the front (local -y)."""
    n = len(anchor)
    if n == 0:
        return
    side = rng.choice([-1, 1], n) * size[:, 0] * 0.25
    for floor in (1, 2):
        there = size[:, 2] > (floor + 1) * storey - 0.2
        offset = np.stack([side, -size[:, 1] / 2 - 0.55, floor * storey + 0.45], -1)[there]
        builder.add(Shape.BOX, Material.PLASTER, place(anchor[there], offset), (1.3, 0.55, 0.5), anchor[there, 3],
                    color=color[there])
