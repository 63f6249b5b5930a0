"""Streets: carriageway, kerbs, pavements, houses or gardens or trees on either side, parked and oncoming vehicles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .buildings import add_houses
from .domain import Domain
from .furniture import (
    add_bins,
    add_bollards,
    add_fences,
    add_lamps,
    add_people,
    add_signs,
    add_walls,
)
from .path import Path
from .plants import add_bushes, add_hedges, add_trees
from .vehicles import add_cars, add_lorries
from .world import Builder, Material, Shape, World

BEHIND, AHEAD = 60.0, 170.0  # m of street before the start and after it
_SIDES = ("houses", "gardens", "trees")


@dataclass(frozen=True)
class Street:
    """A street of constant curvature that starts at the origin along x; metres, and 1/m for the curvature.

    half_width: from the middle to the kerb. pavement: its width. crossing: s of the middle of a side street, its half
    width in crossing_half.
    """

    curvature: float
    half_width: float
    pavement: float
    kerb: float
    parking: bool
    crossing: float
    crossing_half: float

    def at(self, s: ArrayLike, d: ArrayLike, z: float = 0.0, turn: ArrayLike = 0.0) -> np.ndarray:
        """Anchors (n, 4) x, y, z, yaw at s along the street and d to the left of its middle."""
        along, left, more = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (s, d, turn)))
        k, yaw = self.curvature, self.curvature * along
        x, y = np.sin(yaw) / k - left * np.sin(yaw), (1 - np.cos(yaw)) / k + left * np.cos(yaw)
        return np.stack([x, y, np.full_like(x, z), yaw + more], -1).reshape(-1, 4)

    def free_of_crossing(self, s: ArrayLike, margin: float) -> np.ndarray:
        """Which of s are more than `margin` m away from the side street."""
        return np.abs(np.asarray(s) - self.crossing) > self.crossing_half + margin


def street_world(rng: np.random.Generator, domain: Domain) -> tuple[World, Path]:
    """One street and the path of a car that keeps to its right-hand lane."""
    parking = bool(rng.random() < 0.6)
    curvature = rng.choice([-1, 1]) * (2e-4 + abs(rng.normal(0, 1)) * domain.street_curvature)
    street = Street(curvature, rng.choice([rng.uniform(3.2, 4.4), rng.uniform(5.0, 8.0)]) + 2.2 * parking,
                    rng.uniform(1.6, 4.5), rng.uniform(0.09, 0.16),
                    parking, rng.uniform(30, 110) if rng.random() < 0.7 else 1e4, rng.uniform(3.5, 5.0))
    builder = Builder()
    _add_ground(builder, street, rng)
    for side in (1, -1):
        _add_pavement(builder, street, side)
        style = _SIDES[rng.choice(3, p=domain.street_sides)]
        _add_side(builder, street, side, style, rng, domain)
        _add_kerbside(builder, street, side, style, rng, domain)
    _add_side_street(builder, street, rng)
    _add_traffic(builder, street, rng, domain)
    _add_horizon(builder, street, rng)
    lane = -(street.half_width - 2.2 * parking) / 2
    wander = rng.uniform(-0.25, 0.25)
    return builder.build(), Path(street.curvature, lane + wander, rng.uniform(*domain.speed), int(rng.integers(2**31)))


def _add_ground(builder: Builder, street: Street, rng: np.random.Generator) -> None:
    grey = rng.uniform(0.085, 0.17)
    tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.04, 0.06) * np.array([1, 0.3, -1])
    marks = float(rng.integers(0, 3))  # none, a broken middle line, and edge lines too
    params = (street.curvature, street.half_width, street.crossing, street.crossing_half, 2.2 * street.parking, marks,
              float(rng.integers(0, 9999)), street.half_width + street.pavement)
    builder.add(Shape.BOX, Material.ROAD, (0, 0, -5), (300, 300, 5), color=grey * tint, color2=(0.075, 0.10, 0.03),
                params=params)


def _add_pavement(builder: Builder, street: Street, side: int) -> None:
    """Kerb stones and slabs in straight pieces that follow the curve."""
    step = 6.0
    s = np.arange(-BEHIND, AHEAD, step) + step / 2
    s = s[street.free_of_crossing(s, step / 2 + 0.5)]
    middle = street.half_width + 0.15 + street.pavement / 2
    half = (step / 2 * (1 + abs(street.curvature) * 8) + 0.02, street.pavement / 2, street.kerb / 2)
    builder.add(Shape.BOX, Material.PAVING, street.at(s, side * middle, street.kerb / 2)[:, :3], half,
                street.at(s, 0)[:, 3], color=(0.27, 0.26, 0.25), params=(0.4,))
    half = (half[0], 0.075, street.kerb / 2 + 0.005)
    builder.add(Shape.BOX, Material.CONCRETE, street.at(s, side * (street.half_width + 0.075), half[2])[:, :3], half,
                street.at(s, 0)[:, 3], color=(0.38, 0.37, 0.36))


def _add_side(builder: Builder, street: Street, side: int, style: str, rng: np.random.Generator,
              domain: Domain) -> None:
    """Everything behind the pavement, in plots along the street."""
    edge, turn = street.half_width + 0.15 + street.pavement, 0.0 if side > 0 else np.pi
    near, far = (9.0, 20.0) if style != "trees" else (14.0, 26.0)
    width = rng.uniform(near, far, 40)
    ends = -BEHIND + np.cumsum(width)
    s = ends - width / 2
    use = (s < AHEAD) & street.free_of_crossing(s, 1.0) & street.free_of_crossing(s - width / 2, 0.3)
    use &= street.free_of_crossing(s + width / 2, 0.3)
    s, width = s[use], width[use]
    n = len(s)
    size = np.stack([width, rng.uniform(8, 13, n), rng.uniform(2, 5, n).round() * rng.uniform(2.8, 3.3, n)], -1)
    if style == "houses":
        gap = rng.random(n) < 0.12
        back = rng.choice([0.0, rng.uniform(2.0, 11.0)])  # a forecourt
        place_at = street.at(s, side * (edge + back + size[:, 1] / 2 + rng.choice([0, 0, 0.6], n)), 0, turn)
        add_houses(builder, place_at[~gap], size[~gap], rng, shops=0.35)
        add_trees(builder, street.at(s[gap], side * (edge + 4)), rng, domain.autumn, blobs=12)
        add_walls(builder, street.at(s[gap], side * (edge + 0.2)), width[gap], rng.uniform(0.8, 2.2, int(gap.sum())))
        return
    depth = rng.uniform(4.5, 8.0) if style == "gardens" else 22.0
    size[:, 0] *= rng.uniform(0.55, 0.8, n)
    size[:, 2] = rng.integers(1, 4, n) * 2.9 + 0.3
    here = rng.random(n) < (0.85 if style == "gardens" else 0.3)
    add_houses(builder, street.at(s, side * (edge + depth + size[:, 1] / 2), 0, turn)[here], size[here], rng, 0.9, 0.03)
    _add_border(builder, street, side, edge, s, width, rng)
    count = int(n * (1.2 if style == "gardens" else 2.6) * domain.vegetation)
    spots = rng.uniform(-BEHIND / 2, AHEAD, count)
    spots = spots[street.free_of_crossing(spots, 4)]
    reach = rng.uniform(2.0, 4.5 if style == "gardens" else 13.0, len(spots))
    add_trees(builder, street.at(spots, side * (edge + reach)), rng, domain.autumn, (3.5, 12.0))
    bushes = rng.uniform(-BEHIND / 2, AHEAD, int(22 * domain.vegetation))
    bushes = bushes[street.free_of_crossing(bushes, 3)]
    add_bushes(builder, street.at(bushes, side * (edge + rng.uniform(1.2, 7, len(bushes)))), rng, domain.autumn)


def _add_border(builder: Builder, street: Street, side: int, edge: float, s: np.ndarray, width: np.ndarray,
                rng: np.random.Generator) -> None:
    """Hedge, fence or low wall between pavement and garden, one kind per plot."""
    kind = rng.integers(0, 4, len(s))
    line = street.at(s, side * (edge + 0.5))
    length = width * rng.uniform(0.75, 0.98, len(s))
    add_hedges(builder, line[kind == 0], length[kind == 0], rng)
    add_fences(builder, line[kind == 1], length[kind == 1], rng)
    low = kind == 2
    add_walls(builder, line[low], length[low], rng.uniform(0.5, 1.3, int(low.sum())))


def _add_kerbside(builder: Builder, street: Street, side: int, style: str, rng: np.random.Generator,
                  domain: Domain) -> None:
    """What stands on the pavement: trees, lamps, signs, bins, bollards and people."""
    kerb, turn = side * (street.half_width + 0.6), -side * np.pi / 2
    z = street.kerb

    def along(step: float, chance: float) -> np.ndarray:
        s = np.arange(-BEHIND / 2, AHEAD, step) + rng.uniform(0, step)
        s = s[street.free_of_crossing(s, 2.0)]
        return s[rng.random(len(s)) < chance] + 0.0

    if style != "gardens" and rng.random() < 0.6 * domain.vegetation:
        add_trees(builder, street.at(along(rng.uniform(9, 16), 0.75), kerb + side * 0.2, z), rng, domain.autumn)
    add_lamps(builder, street.at(along(27.0, 0.9 if side > 0 else 0.4), kerb, z, turn), rng)
    facing = 0.0 if side < 0 else np.pi
    add_signs(builder, street.at(along(15.0, 0.45), kerb, z, facing), rng)
    inner = side * (street.half_width + street.pavement - 0.25)
    add_bins(builder, street.at(along(16.0, 0.35), inner, z), rng)
    if rng.random() < 0.3:
        add_bollards(builder, street.at(along(2.6, 0.55)[:16], side * (street.half_width + 0.4), z))
    spots = rng.uniform(-10, 70, rng.poisson(4 * domain.people))
    spots = spots[street.free_of_crossing(spots, 1)]
    walk = side * (street.half_width + rng.uniform(0.7, max(street.pavement - 0.4, 0.8), len(spots)))
    add_people(builder, street.at(spots, walk, z, rng.choice([0, np.pi], len(spots))), rng)


def _add_traffic(builder: Builder, street: Street, rng: np.random.Generator, domain: Domain) -> None:
    """Parked rows, one vehicle ahead in the own lane, oncoming ones, sometimes one that crosses."""
    lane = (street.half_width - 2.2 * street.parking) / 2
    if street.parking:
        for side in (1, -1):
            s = np.arange(-BEHIND / 2, AHEAD, 5.6) + rng.uniform(-0.35, 0.35, len(np.arange(-BEHIND / 2, AHEAD, 5.6)))
            s = s[(rng.random(len(s)) < domain.parked) & street.free_of_crossing(s, 4.5)]
            turn = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.03, len(s))
            add_cars(builder, street.at(s, side * (street.half_width - 1.05), 0, turn), rng)
    ahead = np.cumsum(rng.uniform(9, 40, 4)) + 70 * (rng.random() < 0.2)
    add_cars(builder, street.at(ahead[:int(rng.integers(0, 3))] + 62, -lane), rng)
    oncoming = np.cumsum(rng.uniform(12, 45, 5))
    add_cars(builder, street.at(oncoming[:int(rng.integers(1, 5))], lane, 0, np.pi), rng)
    if rng.random() < 0.3:
        add_lorries(builder, street.at(rng.uniform(25, 90, 1), lane + 0.2 if not street.parking else lane, 0, np.pi),
                    rng)
    if street.crossing < 1e3:
        d = np.array([rng.choice([-1, 1]) * rng.uniform(street.half_width + 3, 14)])
        add_cars(builder, street.at(street.crossing - np.sign(d) * 1.8, d, 0, -np.sign(d) * np.pi / 2), rng)


def _add_side_street(builder: Builder, street: Street, rng: np.random.Generator) -> None:
    """Houses along the side street, behind the corner plots, and what closes its view."""
    if street.crossing > 1e3:
        return
    for side in (1, -1):
        d = side * (street.half_width + street.pavement + np.array([24.0, 40.0]))
        for flank in (1, -1):
            off = street.crossing_half + 2.2 + 5.0
            size = np.stack([rng.uniform(10, 15, 2), np.full(2, 9.5), rng.uniform(5, 12, 2)], -1)
            add_houses(builder, street.at(street.crossing + flank * off, d, 0, -flank * np.pi / 2), size, rng)
        add_trees(builder, street.at(street.crossing + rng.uniform(-6, 6, 3), side * rng.uniform(55, 60, 3)), rng)


def _add_horizon(builder: Builder, street: Street, rng: np.random.Generator) -> None:
    """Trees at both ends and a wood on both sides, so that gaps do not show a flat horizon."""
    d = np.linspace(-45, 45, 13) + rng.uniform(-2, 2, 13)
    near, far = street.at(-BEHIND - rng.uniform(8, 20, 13), d), street.at(AHEAD + rng.uniform(0, 16, 13), d)
    add_trees(builder, np.concatenate([near, far]), rng, 0.2, (7, 14), blobs=5)
    s = np.tile(np.arange(-BEHIND, AHEAD + 30, 9.0), 2)
    side = np.repeat([1.0, -1.0], len(s) // 2)
    wood = street.at(s + rng.uniform(-3, 3, len(s)), side * rng.uniform(48, 75, len(s)))
    add_bushes(builder, wood, rng, 0.2, (4.0, 8.0))
