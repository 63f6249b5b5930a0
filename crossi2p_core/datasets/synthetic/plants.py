"""Trees, bushes and hedges: trunks, and crowns of ellipsoids with gaps."""

from __future__ import annotations

import numpy as np

from .world import Builder, Material, Shape, place

_GREENS = np.array([[0.055, 0.10, 0.022], [0.09, 0.13, 0.03], [0.04, 0.075, 0.025], [0.12, 0.14, 0.035]])
_AUTUMN = np.array([[0.30, 0.14, 0.03], [0.26, 0.18, 0.04], [0.20, 0.07, 0.02]])


def leaf_colors(n: int, rng: np.random.Generator, autumn: float) -> np.ndarray:
    """(n, 3) albedo of foliage; `autumn` is the share of yellow and brown plants."""
    color = _GREENS[rng.integers(0, len(_GREENS), n)]
    turned = rng.random(n) < autumn
    color = np.where(turned[:, None], _AUTUMN[rng.integers(0, len(_AUTUMN), n)], color)
    return color * rng.uniform(0.75, 1.3, (n, 1))


def add_trees(builder: Builder, anchor: np.ndarray, rng: np.random.Generator, autumn: float = 0.2,
              height: tuple[float, float] = (5.0, 11.0), blobs: int = 11) -> None:
    """Trees at anchors (n, 4), `height` m high, each crown made of `blobs` ellipsoids about its middle."""
    n = len(anchor)
    if n == 0:
        return
    top = rng.uniform(*height, n)
    stem = top * rng.uniform(0.24, 0.38, n) + 0.5
    radius = 0.025 * top * rng.uniform(0.8, 1.3, n)
    upper = stem + (top - stem) * 0.45
    builder.add(Shape.CYLINDER, Material.BARK, place(anchor, np.stack([0 * top, 0 * top, upper / 2], -1)),
                np.stack([radius, radius, upper / 2], -1), anchor[:, 3], color=(0.085, 0.066, 0.05),
                params=rng.integers(0, 9999, (n, 1)))
    rise, spread = (top - stem) / 2, top * rng.uniform(0.22, 0.34, n)
    color, holes = leaf_colors(n, rng, autumn), rng.uniform(0.30, 0.52, n)
    for k in range(blobs):
        turn, high = 2.4 * k + rng.uniform(0, 1, n), np.linspace(-0.75, 0.8, blobs)[k] + rng.uniform(-0.1, 0.1, n)
        out = spread * np.sqrt(np.clip(1 - high**2, 0, 1)) * rng.uniform(0.3, 0.75, n)
        size = spread * rng.uniform(0.42, 0.66, n)
        offset = np.stack([out * np.cos(turn), out * np.sin(turn), stem + rise * (1 + high)], -1)
        offset[:, 2] = np.minimum(offset[:, 2], top - 0.4 * size)
        half = np.stack([size, size * rng.uniform(0.8, 1.2, n), np.minimum(size, 1.2 * rise) * 0.8], -1)
        shade = color * rng.uniform(0.85, 1.2, (n, 1))
        builder.add(Shape.ELLIPSOID, Material.LEAVES, place(anchor, offset), half, rng.uniform(0, 3, n), color=shade,
                    params=rng.integers(0, 9999, (n, 1)), holes=holes)


def add_bushes(builder: Builder, anchor: np.ndarray, rng: np.random.Generator, autumn: float = 0.1,
               size: tuple[float, float] = (0.5, 1.3)) -> None:
    """Bushes of two lumps each at anchors (n, 4); `size` is the range of their radii in m."""
    n = len(anchor)
    if n == 0:
        return
    color = leaf_colors(n, rng, autumn)
    for _ in range(2):
        radius = rng.uniform(*size, n)
        offset = np.concatenate([rng.normal(0, 0.35, (n, 2)) * radius[:, None], 0.62 * radius[:, None]], 1)
        half = radius[:, None] * rng.uniform(0.75, 1.15, (n, 3))
        builder.add(Shape.ELLIPSOID, Material.LEAVES, place(anchor, offset), half, rng.uniform(0, 3, n),
                    color=color * rng.uniform(0.9, 1.15, (n, 1)), params=rng.integers(0, 9999, (n, 1)),
                    holes=rng.uniform(0.05, 0.25, n))


def add_hedges(builder: Builder, anchor: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> None:
    """Clipped hedges along the local x axis of anchors (n, 4), `length` (n,) m, with lumps along the top."""
    n = len(anchor)
    if n == 0:
        return
    height, thick = rng.uniform(0.9, 1.9, n), rng.uniform(0.35, 0.55, n)
    color = leaf_colors(n, rng, 0.03)
    seed = rng.integers(0, 9999, (n, 1))
    builder.add(Shape.BOX, Material.LEAVES, place(anchor, np.stack([0 * height, 0 * height, height / 2], -1)),
                np.stack([length / 2, thick, height / 2], -1), anchor[:, 3], taper=(0, 0, 0.08, 0.08), color=color,
                params=seed)
    for k in range(3):
        along = length * (np.array([-0.33, 0.0, 0.33])[k] + rng.uniform(-0.08, 0.08, n))
        half = np.stack([length * 0.17, thick * 1.1, 0.18 * np.ones(n)], -1)
        builder.add(Shape.ELLIPSOID, Material.LEAVES, place(anchor, np.stack([along, 0 * along, height - .02], -1)),
                    half, anchor[:, 3], color=color, params=seed, holes=0.12)
