"""Cars, vans and lorries: bodies that narrow towards the top, glazed cabins, wheels."""

from __future__ import annotations

import numpy as np

from .world import Builder, Material, Shape, place, rotation_z

# length, width, height, share of the length under the cabin, its shift, slope of front and rear window (m per m)
_TYPES = np.array([
    [3.7, 1.66, 1.50, 0.66, -0.06, 0.75, 0.30],  # small car
    [4.3, 1.76, 1.46, 0.60, -0.05, 0.95, 0.45],  # hatchback
    [4.6, 1.80, 1.44, 0.52, -0.03, 1.05, 0.95],  # saloon
    [4.6, 1.82, 1.50, 0.68, -0.10, 0.95, 0.30],  # estate
    [4.5, 1.85, 1.72, 0.66, -0.08, 0.70, 0.25],  # off-roader
    [4.9, 1.95, 2.05, 0.80, -0.07, 0.60, 0.06],  # van
])
_SHARES = np.array([0.18, 0.26, 0.2, 0.16, 0.1, 0.1])
_PAINTS = np.array([
    [0.78, 0.78, 0.77], [0.45, 0.46, 0.48], [0.22, 0.23, 0.25], [0.035, 0.035, 0.04], [0.02, 0.02, 0.022],
    [0.03, 0.06, 0.2], [0.30, 0.02, 0.02], [0.05, 0.10, 0.07], [0.10, 0.17, 0.30], [0.42, 0.36, 0.24],
])
_PAINT_SHARES = np.array([0.18, 0.2, 0.14, 0.13, 0.1, 0.08, 0.07, 0.03, 0.05, 0.02])


def add_cars(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """Cars of random make and paint standing at anchors (n, 4) x, y, z of the ground, yaw of travel."""
    n = len(anchor)
    if n == 0:
        return
    kind = _TYPES[rng.choice(len(_TYPES), n, p=_SHARES)]
    length, width, height, share, shift, front, rear = (kind * rng.uniform(0.96, 1.04, kind.shape)).T
    paint = _PAINTS[rng.choice(len(_PAINTS), n, p=_PAINT_SHARES / _PAINT_SHARES.sum())]
    low, belt = 0.19 * np.ones(n), 0.60 * height
    seed = rng.integers(0, 10000, n)
    yaw = anchor[:, 3]
    body = np.stack([length / 2, width / 2, (belt - low) / 2], -1)
    middle = np.stack([0 * low, 0 * low, (belt + low) / 2], -1)
    wheel = 0.315 * np.ones(n)
    base = length * 0.295
    lean = np.stack([0.18 + 0 * low, 0.13 + 0 * low, 0.09 + 0 * low, 0.09 + 0 * low], -1)
    builder.add(Shape.BOX, Material.PAINT, place(anchor, middle), body, yaw, taper=lean, color=paint,
                params=np.stack([base, wheel, seed, low, 0 * low], -1))
    cabin_length, cabin_height = share * length, height - belt
    cabin = np.stack([cabin_length / 2, width / 2 - 0.06, cabin_height / 2], -1)
    middle = np.stack([shift * length, 0 * low, (height + belt) / 2 - 0.01], -1)
    lean = np.stack([front, rear, 0.28 + 0 * low, 0.28 + 0 * low], -1)
    builder.add(Shape.BOX, Material.GLASS, place(anchor, middle), cabin, yaw, taper=lean, color=paint,
                params=np.stack([seed, (kind[:, 2] > 1.9) * 1.0], -1))
    _add_wheels(builder, anchor, base, width / 2 - 0.10, wheel)


def add_lorries(builder: Builder, anchor: np.ndarray, rng: np.random.Generator) -> None:
    """Lorries with a cab and a closed body at anchors (n, 4)."""
    n = len(anchor)
    if n == 0:
        return
    yaw, one = anchor[:, 3], np.ones(n)
    length, width, height = rng.uniform(6.5, 9.0, n), 2.45 * one, rng.uniform(3.0, 3.7, n)
    paint = _PAINTS[rng.choice(len(_PAINTS), n)]
    cargo = np.clip(rng.uniform(0.25, 0.85, (n, 1)) + rng.normal(0, 0.08, (n, 3)), 0.05, 0.9)
    cab = 1.9 * one
    box = np.stack([(length - cab - 0.2) / 2, width / 2, (height - 0.95) / 2], -1)
    builder.add(Shape.BOX, Material.CARGO, place(anchor, np.stack([-(cab + 0.2) / 2, 0 * one, (height + .95) / 2], -1)),
                box, yaw, color=cargo, color2=paint, params=np.stack([rng.integers(0, 9999, n)], -1))
    front = np.stack([(length - cab) / 2, 0 * one, 0.45 + 0.55 * one], -1)
    builder.add(Shape.BOX, Material.PAINT, place(anchor, front), np.stack([cab / 2, width / 2 - .05, .55 * one], -1),
                yaw, color=paint, params=np.stack([-5 * one, .1 * one, one, .45 * one, one], -1))
    front[:, 2] = 2.05
    builder.add(Shape.BOX, Material.GLASS, place(anchor, front), np.stack([cab / 2, width / 2 - .06, .5 * one], -1),
                yaw, taper=(0.12, 0, 0.05, 0.05), color=paint, params=np.stack([one, one], -1))
    builder.add(Shape.BOX, Material.METAL, place(anchor, (0, 0, 0.72)), np.stack([length / 2 - .3, .5 * one, .2 * one],
                -1), yaw, color=(0.03, 0.03, 0.03))
    _add_wheels(builder, anchor, length * 0.33, width / 2 - 0.16, 0.48 * one)


def _add_wheels(builder: Builder, anchor: np.ndarray, base: np.ndarray, track: np.ndarray, radius: np.ndarray) -> None:
    """Four wheels: `base` and `track` are half distances between the axles and between left and right (m)."""
    sideways = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # a cylinder's z becomes the axle's y
    turn = rotation_z(anchor[:, 3]) @ sideways
    half = np.stack([radius, radius, 0.11 * np.ones_like(radius)], -1)
    for front in (1, -1):
        for left in (1, -1):
            hub = np.stack([front * base, left * track, radius], -1)
            builder.add(Shape.CYLINDER, Material.RUBBER, place(anchor, hub), half, rotation=turn,
                        color=(0.02, 0.02, 0.021), color2=(0.35, 0.35, 0.36))
