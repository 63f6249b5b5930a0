"""Yards: stacks of containers, parked lorries and cars, warehouses, light masts, a fence around it all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .buildings import add_houses
from .domain import Domain
from .furniture import add_bins, add_bollards, add_fences, add_lamps, add_people, add_signs, add_walls
from .path import Path
from .plants import add_bushes, add_trees
from .vehicles import add_cars, add_lorries
from .world import Builder, Material, Shape, World, place

_BEHIND, _AHEAD = 40.0, 140.0  # m of yard before the start and after it
_STEEL = np.array([[0.30, 0.05, 0.03], [0.04, 0.10, 0.24], [0.05, 0.16, 0.10], [0.42, 0.20, 0.04], [0.35, 0.35, 0.35],
                   [0.12, 0.13, 0.15], [0.45, 0.42, 0.36]])
_LENGTHS = np.array([6.06, 12.19])


def yard_world(rng: np.random.Generator, domain: Domain) -> tuple[World, Path]:
    """One yard and the path of a vehicle down its middle lane, which is nearly straight."""
    builder = Builder()
    grey = rng.uniform(0.10, 0.22)
    builder.add(Shape.BOX, Material.ROAD, (0, 0, -5), (300, 300, 5), color=(grey, grey, grey * 0.97),
                color2=(0.075, 0.1, 0.03), params=(2e-4, 300, 1e4, 1, 0, 3, rng.integers(0, 999), 300))
    lane = rng.uniform(4.0, 7.0)
    for side in (1, -1):
        _add_stacks(builder, side, lane, rng)
        _add_edge(builder, side, rng, domain)
    _add_movables(builder, lane, rng, domain)
    _add_halls(builder, rng)
    speed = float(np.clip(rng.uniform(*domain.speed) * 0.5, 1.0, 5.0))
    return builder.build(), Path(2e-4, rng.uniform(-0.8, 0.8), speed, int(rng.integers(2**31)))


def _anchors(x: ArrayLike, y: ArrayLike, z: ArrayLike = 0.0, yaw: ArrayLike = 0.0) -> np.ndarray:
    """Anchors (n, 4) from what broadcasts."""
    return np.stack(np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (x, y, z, yaw))), -1).reshape(-1, 4)


def _add_stacks(builder: Builder, side: int, lane: float, rng: np.random.Generator) -> None:
    """Three rows of containers beside the lane, up to three high, some slots empty."""
    for row in range(3):
        x = -_BEHIND
        while x < _AHEAD:
            length = float(rng.choice(_LENGTHS))
            high = int(rng.choice(4, p=(0.3, 0.3, 0.25, 0.15)))
            y = side * (lane + 1.3 + row * rng.uniform(3.2, 3.6) + (row == 2) * 4.0)
            if high and abs(x + length / 2) > (0 if row else 4):
                z = 2.59 * np.arange(high)
                shift = rng.normal(0, 0.06, high)
                anchor = _anchors(x + length / 2 + shift, y + rng.normal(0, 0.05, high), z, rng.normal(0, 0.004, high))
                color = _STEEL[rng.integers(0, len(_STEEL), high)] * rng.uniform(0.7, 1.25, (high, 1))
                builder.add(Shape.BOX, Material.CONTAINER, place(anchor, (0, 0, 1.295)), (length / 2, 1.22, 1.29),
                            anchor[:, 3], color=color, color2=(0.6, 0.6, 0.58), params=rng.integers(0, 9999, (high, 1)))
            x += length + rng.choice([0.35, 0.35, 3.5])


def _add_movables(builder: Builder, lane: float, rng: np.random.Generator, domain: Domain) -> None:
    """Lorries, cars, people, bins and bollards on and beside the lane."""
    spots = np.array([18.0, 40.0, 64.0, 90.0, 115.0]) + rng.uniform(-6, 6, 5)
    rng.shuffle(spots)
    side = rng.choice([-1, 1], 5)
    add_lorries(builder, _anchors(spots[:2], side[:2] * (lane - 1.6), 0, rng.choice([0, np.pi], 2)), rng)
    add_cars(builder, _anchors(spots[2:], side[2:] * (lane - 1.2), 0, rng.choice([0, np.pi, 0.4], 3)), rng)
    n = int(rng.poisson(5 * domain.people))
    add_people(builder, _anchors(rng.uniform(4, 60, n), rng.choice([-1, 1], n) * rng.uniform(2.2, lane, n), 0,
                                 rng.uniform(0, 6, n)), rng)
    n = 8
    add_bins(builder, _anchors(rng.uniform(0, _AHEAD, n), rng.choice([-1, 1], n) * (lane - 0.4), 0,
                               rng.uniform(0, 3, n)), rng)
    x = np.arange(4, 60, rng.uniform(3, 8))
    add_bollards(builder, _anchors(x, rng.choice([-1, 1]) * (lane - 0.2)))
    x = np.arange(-_BEHIND, _AHEAD, 30.0) + rng.uniform(0, 15)
    add_lamps(builder, _anchors(x, lane + 0.1, 0, -np.pi / 2), rng)
    add_signs(builder, _anchors(x + 7, -lane + 0.4, 0, 0.0), rng)


def _add_edge(builder: Builder, side: int, rng: np.random.Generator, domain: Domain) -> None:
    """Fence or wall at the yard's border, with plants behind it."""
    border = side * rng.uniform(24, 32)
    x = np.arange(-_BEHIND, _AHEAD + 20, 12.0)
    if rng.random() < 0.5:
        add_fences(builder, _anchors(x, border), np.full(len(x), 11.9), rng)
    else:
        add_walls(builder, _anchors(x, border), np.full(len(x), 12.0), np.full(len(x), rng.uniform(1.6, 2.6)))
    n = int(16 * domain.vegetation)
    add_trees(builder, _anchors(rng.uniform(-_BEHIND, _AHEAD + 20, n), border + side * rng.uniform(3, 14, n)), rng,
              domain.autumn)
    add_bushes(builder, _anchors(rng.uniform(-_BEHIND, _AHEAD, n), border + side * rng.uniform(1, 4, n)), rng)


def _add_halls(builder: Builder, rng: np.random.Generator) -> None:
    """Warehouses with roller gates at the ends and on one side."""
    side = rng.choice([-1, 1])
    anchor = np.concatenate([_anchors([_AHEAD + 16.0], 0, 0, -np.pi / 2), _anchors([-_BEHIND - 16.0], 0, 0, np.pi / 2),
                             _anchors([rng.uniform(10, 40), rng.uniform(75, 95)], side * 46.0, 0,
                                      0.0 if side > 0 else np.pi)])
    size = np.stack([rng.uniform(35, 50, 4), np.full(4, 18.0), rng.uniform(7, 11, 4)], -1)
    add_houses(builder, anchor, size, rng, pitched=0.2, shops=0.7)
