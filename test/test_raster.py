"""A scan as a picture: the nearest point of each place, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.geometry.raster import FARTHEST_M, NEAREST_M, rasterise

SIZE = (8, 12)


def drawn(pixels, depth, valid=None, features=None):
    pixels, depth = torch.tensor(pixels).float()[None], torch.tensor(depth).float()[None]
    valid = torch.ones_like(depth, dtype=torch.bool) if valid is None else torch.tensor(valid)[None]
    features = torch.zeros(*depth.shape, 2) if features is None else torch.tensor(features).float()[None]
    return rasterise(pixels, depth, valid, features, SIZE, 4)


def test_the_nearest_point_of_a_pixel_is_drawn_with_its_features() -> None:
    raster = drawn([[3.2, 2.4], [2.6, 1.6], [9.0, 7.0]], [20.0, 5.0, 10.0], features=[[0.1, 1], [0.7, 1], [0.4, 0]])
    picture = raster.picture[0]
    assert picture.shape == (5, *SIZE)
    assert picture[0].sum() == 2  # the first two share pixel (3, 2)
    assert torch.allclose(picture[:, 2, 3], torch.tensor([1, 0.2, np.log(5) / np.log(80), 0.7, 1]).float())
    assert torch.allclose(picture[3:, 7, 9], torch.tensor([0.4, 0.0]))
    assert raster.hit[0].nonzero().flatten().tolist() == [0, 5]  # of 2 x 3 cells
    assert raster.point[0, [0, 5]].tolist() == [1, 2]


def test_what_lies_outside_or_behind_or_is_no_point_is_not_drawn() -> None:
    raster = drawn([[-0.6, 3], [11.6, 3], [5, 3], [5, 3], [5, 3]], [9, 9, NEAREST_M / 2, FARTHEST_M + 1, 9.0],
                   valid=[True, True, True, True, False])
    assert raster.picture.abs().sum() == 0 and not raster.hit.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 200))
def test_every_cell_shows_its_nearest_point(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-3, 15, (count, 2))
    depth = rng.integers(2, 12, count) * 1.0  # many are equally far
    raster = drawn(pixels, depth)
    place = np.floor(pixels + 0.5).astype(int)
    inside = (place >= 0).all(1) & (place[:, 0] < SIZE[1]) & (place[:, 1] < SIZE[0])
    for cell in range(6):
        own = inside & (place[:, 0] // 4 == cell % 3) & (place[:, 1] // 4 == cell // 3)
        assert bool(raster.hit[0, cell]) == own.any()
        if own.any():
            chosen = int(raster.point[0, cell])
            assert own[chosen] and depth[chosen] == depth[own].min()
    assert int(raster.picture[0, 0].sum()) == len({tuple(p) for p in place[inside]})
