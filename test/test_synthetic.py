"""Drives through the synthetic world: seeded, consistent in the world frame, worth aligning, and speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_gradient_magnitude
from synthetic_drive import AHEAD, EXACT, KINDS, TINY, generator, poses

from crossi2p_core.datasets.synthetic import (
    Domain,
    Lidar,
    Look,
    SyntheticSource,
    make_world,
)
from crossi2p_core.datasets.synthetic.camera_render import render, render_depth
from crossi2p_core.datasets.synthetic.layout_street import Street
from crossi2p_core.datasets.synthetic.raycast import cast
from crossi2p_core.datasets.synthetic.surface import surfaces
from crossi2p_core.datasets.synthetic.textures_outdoor import street_coordinates
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Sample


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Small tensors are fastest on one core, and the other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_scans_of_a_drive_coincide_in_the_world(kind: str) -> None:
    source = SyntheticSource(kind, 1, 6, TINY, EXACT, samples=1)
    assert 0.2 < np.linalg.norm(source.pose(5)[:3, 3] - source.pose(0)[:3, 3]) < 12
    last = source[5]
    points = torch.tensor(se3.transform(last.T_world_lidar, last.cloud.xyz.astype(np.float64))[::3])
    origin = torch.from_numpy(source.pose(0)[:3, 3])
    truth = (points - origin).norm(dim=1)
    rays = ((points - origin) / truth[:, None]).float()
    world, start = source._place(0)[1], origin[None].float()
    hits = cast(world, start, rays[None, None], (1, 32))
    seen = surfaces(world, start, rays, hits.distance.view(-1), hits.primitive.view(-1), 1e-3)
    margin = 0.01 + 1e-3 * truth[seen.index]
    assert (seen.distance < truth[seen.index] + margin).float().mean() > 0.999  # no point floats in the air
    assert ((seen.distance - truth[seen.index]).abs() < margin).float().mean() > 0.75  # others stood in the way


def test_a_drive_goes_on_in_new_worlds() -> None:
    source = SyntheticSource("hall", 0, 5000, TINY, replace(EXACT, steps=90), samples=1)
    positions = np.array([source.pose(i)[:3, 3] for i in range(0, 5000, 250)])
    assert len(np.unique(positions[:, 0].round(-3))) > 5
    assert len(source[4999].cloud) > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_is_the_same_frame(kind: str) -> None:
    source = SyntheticSource(kind, 0, 3, TINY, EXACT)

    def frame(seed: int, first: int | None = None) -> Sample:
        source = SyntheticSource(kind, seed, 3, TINY, replace(EXACT, steps=200))
        if first is not None:
            source[first]
        return source[1]

    one, again, other = frame(7), frame(7, first=2), frame(8)
    assert np.array_equal(one.image, again.image) and np.array_equal(one.cloud.xyz, again.cloud.xyz)
    assert np.array_equal(one.T_cam_lidar, again.T_cam_lidar)
    noise = [source._generator(i, sensor).initial_seed() for i in (0, 1) for sensor in (0, 1)]
    assert len(set(noise)) == 4
    assert not np.array_equal(one.image, other.image) and not np.array_equal(one.T_cam_lidar, other.T_cam_lidar)


def test_a_given_extrinsic_is_used() -> None:
    T = se3.make(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.5, 0.2, -1.0]))
    sample = SyntheticSource("yard", 0, 1, TINY, replace(EXACT, steps=90), T, samples=1)[0]
    assert np.allclose(sample.T_cam_lidar, T)
    assert sample.T_world_lidar is not None and sample.T_world_lidar.shape == (4, 4)


@given(st.floats(-160, 160), st.floats(-30, 30), st.sampled_from([2e-4, -2e-4, 0.008, -0.008]))
@settings(max_examples=60, deadline=None)
def test_street_coordinates_undo_the_street(s: float, d: float, curvature: float) -> None:
    street = Street(curvature, 4.0, 2.0, 0.1, False, 1e4, 4.0)
    x, y = torch.tensor(street.at(s, d)[0, :2])
    along, left = street_coordinates(x, y, torch.tensor(curvature, dtype=torch.float64))
    assert abs(float(along) - s) < 1e-6 and abs(float(left) - d) < 1e-6


# --- pictures -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_the_image_has_edges_where_the_geometry_has(kind: str) -> None:
    source = SyntheticSource(kind, 3, 1, "small")
    truth = render_depth(source._place(0)[1], source.camera, poses(source)[1])
    distance = np.minimum(truth.distance[0].numpy(), 1000)
    jump = np.abs(np.diff(np.log(distance), axis=1))[:-1, :-1] > 0.3
    slope = gaussian_gradient_magnitude(np.sqrt(source[0].image.mean(-1)), 1.0)[:-1, :-2]
    score = [slope[np.roll(jump, shift, axis=1)].mean() for shift in (0, -9, 9)]
    assert jump.sum() > 500
    assert score[0] > 1.25 * max(score[1:])
    assert 2.0 < score[0] / np.median(slope) < 60
    assert np.median(slope) > 0.03  # surfaces are not blank


def test_light_and_lens_do_what_they_say() -> None:
    world, path = make_world("street", 6)
    T = torch.from_numpy(path.pose(0) @ AHEAD)

    def image(**changes: float) -> torch.Tensor:
        return render(world, TINY, T[None], [replace(Look(noise=0.0), **changes)], generator())[0].float()

    plain = image()
    assert image(exposure_ev=1.0).mean() > 1.15 * plain.mean()
    assert image(vignetting=0.6)[0, 0].mean() < plain[0, 0].mean()
    assert image(warmth=0.15)[..., 0].mean() > plain[..., 0].mean()
    assert image(saturation=0.0).std(-1).mean() < 1.0 < plain.std(-1).mean()
    assert (image(noise=0.05) - plain).abs().mean() > 2
    assert image(blur_px=6.0).diff(dim=1).abs().mean() < 0.8 * plain.diff(dim=1).abs().mean()
    assert image(sun_strength=0.1).std() < plain.std()


# --- bad input ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, word", [
    ({"kind": "moon"}, "moon"), ({"frames": 0}, "frames"), ({"frames": 10**9}, "frames"), ({"seed": -1}, "seed"),
    ({"camera": "eye"}, "eye"), ({"lidar": "sonar"}, "sonar"), ({"samples": 3}, "samples"),
    ({"T_cam_lidar": np.ones((4, 4))}, "T_cam_lidar"), ({"T_cam_lidar": np.full((4, 4), np.nan)}, "T_cam_lidar"),
    ({"device": "abacus"}, "abacus"),
])
def test_wrong_arguments_are_told(arguments: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        SyntheticSource(**arguments)


@pytest.mark.parametrize("make", [
    lambda: Lidar("x", "swirl"), lambda: Lidar("x", "spinning"), lambda: Lidar("x", "raster", steps=0),
    lambda: replace(EXACT, range_m=(5.0, 1.0)), lambda: replace(EXACT, sigma_m=-1.0), lambda: Domain(noise=(0.2, 0.1)),
    lambda: Domain(street_sides=(1.0, 1.0, 1.0)), lambda: Domain(people=float("nan")),
])
def test_impossible_sensors_and_domains_are_told(make) -> None:
    with pytest.raises(InputError):
        make()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_sees_the_same_world(kind: str) -> None:
    world, path = make_world(kind, 2)
    T = torch.from_numpy(path.pose(0) @ AHEAD)[None]
    here, there = render_depth(world, TINY, T), render_depth(world.to("cuda"), TINY, T.cuda())
    same = (here.primitive == there.primitive.cpu()) & here.distance.isfinite()
    assert same.float().mean() > 0.99 * here.distance.isfinite().float().mean()
    assert torch.allclose(here.distance[same], there.distance.cpu()[same], rtol=1e-3, atol=1e-2)
    assert len(SyntheticSource(kind, 0, 1, TINY, EXACT, device="cuda")[0].cloud) > 10000
