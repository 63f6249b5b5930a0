"""Halls: aisles between shelves with goods, columns, machines, people, lamps under the roof; no sky."""

from __future__ import annotations

import numpy as np

from .domain import Domain
from .furniture import add_bollards, add_people
from .path import Path
from .world import Builder, Material, Shape, World, place

_BEHIND, _AHEAD = 12.0, 62.0  # m of hall before the start and after it
_GOODS = np.array([[0.40, 0.28, 0.16], [0.46, 0.34, 0.21], [0.30, 0.21, 0.13], [0.55, 0.55, 0.53], [0.08, 0.16, 0.34],
                   [0.10, 0.10, 0.11], [0.32, 0.06, 0.05]])
_BAY, _LEVEL = 2.8, 1.75  # m: width and height of a compartment


def hall_world(rng: np.random.Generator, domain: Domain) -> tuple[World, Path]:
    """One hall and the path of a vehicle along its middle aisle."""
    builder = Builder()
    width, height = rng.uniform(17, 26), rng.uniform(6.0, 8.5)
    aisle = rng.uniform(3.2, 4.6)
    _add_shell(builder, width, height, rng)
    rows = np.array([1, -1]) * aisle
    for y in rows:
        _add_shelf(builder, y, height, rng)
    for y in rows + np.sign(rows) * (aisle + 1.6):
        if abs(y) < width / 2 - 1.0:
            _add_shelf(builder, y, height, rng)
    _add_loose(builder, aisle, rng, domain)
    speed = float(np.clip(rng.uniform(*domain.speed) * 0.2, 0.5, 2.5))
    return builder.build(indoors=True), Path(2e-4, rng.uniform(-0.5, 0.5), speed, int(rng.integers(2**31)))


def _add_shell(builder: Builder, width: float, height: float, rng: np.random.Generator) -> None:
    """Floor, walls with gates, roof with girders and lamps, columns."""
    middle, half = (_AHEAD - _BEHIND) / 2, (_AHEAD + _BEHIND) / 2
    grey = rng.uniform(0.2, 0.38)
    builder.add(Shape.BOX, Material.FLOOR, (middle, 0, -1), (half + 1, width / 2 + 1, 1),
                color=(grey, grey, grey * 0.95), params=(rng.uniform(6, 9), rng.integers(0, 999)))
    wall = np.array([0.55, 0.55, 0.52]) * rng.uniform(0.7, 1.2)
    for side in (1, -1):
        builder.add(Shape.BOX, Material.CONCRETE, (middle, side * (width / 2 + 0.2), height / 2),
                    (half, 0.2, height / 2), color=wall)
        end = middle + side * half
        builder.add(Shape.BOX, Material.CONCRETE, (end + side * 0.2, 0, height / 2), (0.2, width / 2, height / 2),
                    color=wall)
        builder.add(Shape.BOX, Material.CONTAINER, (end - side * 0.03, rng.uniform(-2, 2), 2.0), (0.05, 1.9, 2.0),
                    color=(0.3, 0.32, 0.34), color2=(0.5, 0.4, 0.05), params=(3,))
    builder.add(Shape.BOX, Material.CEILING, (middle, 0, height + 0.2), (half + 1, width / 2 + 1, 0.2),
                color=(0.45, 0.46, 0.47))
    x = np.arange(-_BEHIND + 3, _AHEAD, 6.0)
    girders = np.stack([x, 0 * x, 0 * x + height - 0.25], -1)
    builder.add(Shape.BOX, Material.METAL, girders, (0.12, width / 2, 0.22), color=(0.3, 0.32, 0.36))
    for y in np.arange(-width / 2 + 4, width / 2 - 2, 4.5):
        tubes = np.stack([x + 3, 0 * x + y, 0 * x + height - 0.5], -1)
        builder.add(Shape.BOX, Material.LAMP, tubes, (0.9, 0.09, 0.05), color=(0.9, 0.9, 0.87))
    for side in (1, -1):
        columns = np.stack([x, 0 * x + side * (width / 2 - 0.25), 0 * x + height / 2], -1)
        builder.add(Shape.BOX, Material.CONCRETE, columns, (0.2, 0.2, height / 2), color=(0.4, 0.4, 0.38))


def _add_shelf(builder: Builder, y: float, height: float, rng: np.random.Generator) -> None:
    """A rack along the aisle: posts, beams and, in most compartments, goods on pallets."""
    levels = int(min(3, (height - 1.2) // _LEVEL))
    start, end = -_BEHIND + rng.uniform(2, 5), _AHEAD - rng.uniform(4, 10)
    x = np.arange(start, end, _BAY)
    blue, orange = (0.03, 0.07, 0.26), (0.50, 0.16, 0.02)
    tall = levels * _LEVEL + 0.3
    for depth in (-0.5, 0.5):
        posts = np.stack([x - _BAY / 2, 0 * x + y + depth, 0 * x + tall / 2], -1)
        builder.add(Shape.BOX, Material.METAL, posts, (0.05, 0.05, tall / 2), color=blue)
    middle, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2 + _BAY / 2
    for level in range(1, levels + 1):
        for depth in (-0.5, 0.5):
            beam = (middle, y + depth, level * _LEVEL)
            builder.add(Shape.BOX, Material.METAL, beam, (half, 0.03, 0.06), color=orange)
    for level in range(levels + 1):
        full = rng.random(len(x)) < 0.72
        n = int(full.sum())
        for slot in (-0.62, 0.62):
            size = np.stack([rng.uniform(0.4, 0.58, n), rng.uniform(0.38, 0.55, n), rng.uniform(0.25, 0.72, n)], -1)
            floor = level * _LEVEL + 0.06
            at = np.stack([x[full] + slot, y + rng.normal(0, 0.05, n), floor + 0.14 + size[:, 2]], -1)
            color = _GOODS[rng.integers(0, len(_GOODS), n)] * rng.uniform(0.75, 1.2, (n, 1))
            builder.add(Shape.BOX, Material.CARGO, at, size, rng.normal(0, 0.03, n), color=color,
                        color2=(0.7, 0.7, 0.68), params=rng.integers(0, 9999, (n, 1)))
        pallets = np.stack([x[full], 0 * x[full] + y, 0 * x[full] + level * _LEVEL + 0.13], -1)
        builder.add(Shape.BOX, Material.FENCE, pallets, (1.2, 0.5, 0.07), color=(0.32, 0.22, 0.12))


def _add_loose(builder: Builder, aisle: float, rng: np.random.Generator, domain: Domain) -> None:
    """Stacks of goods, forklifts, people and bollards that stand in the aisle."""
    n = int(rng.integers(3, 8))
    x, side = rng.uniform(4, 50, n), rng.choice([-1, 1], n)
    size = rng.uniform((0.35, 0.35, 0.25), (0.6, 0.6, 0.9), (n, 3))
    at = np.stack([x, side * rng.uniform(1.6, aisle - 1.2, n), size[:, 2]], -1)
    builder.add(Shape.BOX, Material.CARGO, at, size, rng.uniform(0, 3, n), color=_GOODS[rng.integers(0, 7, n)],
                color2=(0.7, 0.7, 0.68), params=rng.integers(0, 9999, (n, 1)))
    turn = rng.choice([0, np.pi]) + rng.uniform(-0.3, 0.3)
    _add_forklift(builder, np.array([rng.uniform(9, 30), rng.choice([-1, 1]) * 1.8, 0, turn]))
    n = 1 + int(rng.poisson(3 * domain.people))
    people = np.stack([rng.uniform(4, 40, n), rng.choice([-1, 1], n) * rng.uniform(1.2, 2.2, n), 0 * np.ones(n),
                       rng.uniform(0, 6, n)], -1)
    add_people(builder, people, rng)
    ends = np.stack([np.full(4, -_BEHIND + 1.0), np.array([-1, 1, -1.4, 1.4]) * aisle, np.zeros(4), np.zeros(4)], -1)
    add_bollards(builder, ends)


def _add_forklift(builder: Builder, anchor: np.ndarray) -> None:
    """A forklift at (4,) x, y, z, yaw: body, mast, fork, canopy on posts, wheels."""
    yellow, black = (0.55, 0.33, 0.02), (0.03, 0.03, 0.03)
    for offset, half, color in (
        ((-0.2, 0, 0.65), (0.75, 0.5, 0.42), yellow), ((-0.85, 0, 0.75), (0.2, 0.5, 0.5), black),
        ((0.75, 0.3, 1.15), (0.06, 0.06, 1.1), black), ((0.75, -0.3, 1.15), (0.06, 0.06, 1.1), black),
        ((1.35, 0.25, 0.12), (0.55, 0.06, 0.03), black), ((1.35, -0.25, 0.12), (0.55, 0.06, 0.03), black),
        ((-0.25, 0, 2.1), (0.7, 0.5, 0.04), yellow), ((-0.85, 0.45, 1.6), (0.04, 0.04, 0.5), black),
        ((-0.85, -0.45, 1.6), (0.04, 0.04, 0.5), black), ((0.35, 0.45, 1.6), (0.04, 0.04, 0.5), black),
        ((0.35, -0.45, 1.6), (0.04, 0.04, 0.5), black), ((0.45, 0, 0.28), (0.28, 0.58, 0.26), black),
    ):
        builder.add(Shape.BOX, Material.METAL, place(anchor, offset), half, anchor[3], color=color)
