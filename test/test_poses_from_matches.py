"""What a pose rests on where maps and fine matches disagree, and where several frames speak of one rig."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from match_maps import GRID, K, camera, likelihood, projected, street
from torch import Tensor

from crossi2p_core.geometry import se3
from crossi2p_core.solve.from_matches import Said, _fit, _on_maps, joined, poses_from
from crossi2p_core.solve.map_places import places_near
from crossi2p_core.types import Prior

FINE = 60  # fine matches of a frame


def frame(seed: int, T: np.ndarray | None = None, wrong: float = 0.6, pretended: np.ndarray | None = None) -> Said:
    """What a network says of a street seen from T, known by its maps; fine matches as if it were seen from
    `pretended`."""
    rng = np.random.default_rng(seed)
    points = street(rng)
    T = camera(rng, points) if T is None else T
    maps, outside = likelihood(rng, points, T, wrong)
    seen_from = T if pretended is None else pretended
    uv, seen = projected(points, seen_from)
    chosen = np.flatnonzero(seen)[:FINE]
    one = torch.ones(1, len(chosen))
    return Said(maps, outside, maps, points[None], torch.zeros(len(points), dtype=torch.int64),
                torch.ones(1, len(points), dtype=torch.bool),
                torch.ones(1, *GRID, dtype=torch.bool), points[chosen][None],
                torch.from_numpy(uv[chosen]).float()[None], one[..., None].repeat(1, 1, 2), one.bool(), K[None])


def seen_by(seed: int) -> np.ndarray:
    """The camera that `frame(seed)` draws."""
    rng = np.random.default_rng(seed)
    return camera(rng, street(rng))


def error(T: Tensor, truth: np.ndarray) -> tuple[float, float]:
    found = T[0].double().numpy()
    return float(se3.rotation_error_deg(found, truth)), float(se3.translation_error_m(found, truth))


def test_fine_matches_correct_a_coarse_pose() -> None:
    deg, metres = error(poses_from(frame(0)).T, seen_by(0))
    assert deg < 0.01 and metres < 0.01


@pytest.mark.parametrize("aside", [np.array([0.0, 0.4, 0.0, 0, 0, 0]), np.array([0, 0, 0, 6.0, 0.0, 0.0])])
def test_fine_matches_that_agree_on_another_pose_are_not_believed(aside: np.ndarray) -> None:
    truth = seen_by(1)
    lying = frame(1, pretended=se3.exp_se3(aside) @ truth)
    found = poses_from(lying)
    coarse = poses_from(replace(lying, valid=torch.zeros_like(lying.valid)))
    torch.testing.assert_close(found.T, coarse.T)
    deg, metres = error(found.T, truth)
    assert deg < 1.0 and metres < 1.0 and found.inliers.equal(coarse.inliers)


def test_fine_matches_do_not_lead_out_of_a_priors_bounds() -> None:
    truth = seen_by(2)
    lying = frame(2, pretended=se3.exp_se3(np.array([0, 0, 0, 0.25, 0, 0])) @ truth)
    found = poses_from(lying, Prior(truth, 1.0, 0.1))
    assert error(found.T, truth)[1] <= 0.101


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_pose_that_is_off_is_led_to_where_the_maps_see_their_points(seed: int) -> None:
    """From 1.5 deg and 0.4 m beside the truth, where the search by cells is taken to have ended."""
    rng = np.random.default_rng(seed)
    points = street(rng)
    truth = camera(rng, points)
    maps, outside = likelihood(rng, points, truth, wrong=0.0, noise_cells=0.2)
    said = replace(frame(seed), maps=maps, places=maps, outside=outside, superpoints=points[None])
    beside = se3.exp_se3(np.array([0.02, -0.02, 0.01, 0.25, -0.2, 0.25])) @ truth
    start = torch.from_numpy(beside).float()[None]
    T, _ = _fit(partial(_on_maps, said), start, torch.eye(6)[None], start, None)
    assert error(start, truth)[0] > 1.5 and error(T, truth)[0] < 0.7
    assert error(start, truth)[1] > 0.4 and error(T, truth)[1] < 0.12


def test_blunt_fine_matches_do_not_count() -> None:
    said = frame(6)
    noise = 9 * torch.randn(said.pixels.shape, generator=torch.Generator().manual_seed(0))
    blunt = replace(said, pixels=said.pixels + noise)
    none = replace(said, valid=torch.zeros_like(said.valid))
    torch.testing.assert_close(poses_from(blunt).T, poses_from(none).T)


def test_a_place_is_the_mean_of_the_map_around_it() -> None:
    """Against a loop over cells; a place in the corner, an even map, one that is sure of a single cell, and none."""
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.normal(0, 3, (1, 4, 12, 15))).log_softmax(-1)
    maps[0, 1] = -50.0
    maps[0, 1, 5, 9] = 0.0
    maps[0, 2] = np.log(1 / 180)
    at = torch.tensor([[[2.0, 90.0], [80.0, 40.0], [51.5, 51.5], [-500.0, 20.0]]], dtype=torch.float64)
    pixels, spread, mass = places_near(maps, at, 8.0)
    for m in range(3):
        cell = (at[0, m].numpy() + 0.5) / 8 - 0.5
        nearest = np.round(cell).astype(int)
        near = [(v, u) for v in range(12) for u in range(15) if (abs(np.array([u, v]) - nearest) <= 3).all()]
        share = np.array([maps[0, m, v, u].exp() * np.exp(-0.5 * ((u - cell[0]) ** 2 + (v - cell[1]) ** 2) / 1.5**2)
                          for v, u in near])
        places = np.array([(8 * (u + 0.5) - 0.5, 8 * (v + 0.5) - 0.5) for v, u in near])
        mean = share @ places / share.sum()
        assert float(mass[0, m]) == pytest.approx(share.sum())
        np.testing.assert_allclose(pixels[0, m], mean, rtol=1e-6)
        np.testing.assert_allclose(spread[0, m] ** 2, share @ (places - mean) ** 2 / share.sum() + 64 / 12, rtol=1e-5)
    np.testing.assert_allclose(pixels[0, 1:3], [[75.5, 43.5], [51.5, 51.5]], atol=1e-5)
    assert mass[0, 3] == 0 and pixels[0, 3].equal(at[0, 3])


def test_too_few_fine_matches_correct_nothing() -> None:
    said = frame(3)
    few = replace(said, valid=said.valid & (torch.arange(said.valid.shape[1]) < 8))
    none = replace(said, valid=torch.zeros_like(said.valid))
    torch.testing.assert_close(poses_from(few).T, poses_from(none).T)


def test_what_frames_of_a_rig_say_adds_up() -> None:
    """Maps of which each alone leads nowhere, or is not sure of it."""
    truth = seen_by(4)
    frames = [replace(each, valid=torch.zeros_like(each.valid))
              for each in (frame(10 + i, truth, wrong=0.95) for i in range(6))]
    alone, together = [poses_from(each) for each in frames], poses_from(joined(frames))
    deg, metres = error(together.T, truth)
    assert deg < 1.0 and metres < 0.5
    assert float(together.margin[0]) > max(float(one.margin[0]) for one in alone)
    assert sum(error(one.T, truth)[0] < 1.0 for one in alone) < len(alone)


def test_one_frame_joined_is_itself() -> None:
    said = frame(5)
    torch.testing.assert_close(poses_from(joined([said])).T, poses_from(said).T)


def test_hills_that_lie_to_one_side_are_not_followed() -> None:
    truth = seen_by(0)
    said = frame(0, wrong=0.0)
    said = replace(said, valid=torch.zeros_like(said.valid))
    lying = replace(said, places=said.places.roll(3, dims=3))  # each superpoint 24 px to the right
    straight, misled = error(poses_from(said).T, truth), error(poses_from(lying).T, truth)
    assert misled[0] < straight[0] + 1.0  # 24 px are nearly 4 deg
