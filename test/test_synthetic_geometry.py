"""The synthetic world's geometry: exact rays and shadows, and one world behind every camera and LiDAR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_drive import AHEAD, EXACT, TINY, generator, poses

from crossi2p_core.datasets.synthetic import (
    CAMERAS,
    LIDARS,
    Look,
    SyntheticSource,
    facade,
    make_world,
    stack_worlds,
)
from crossi2p_core.datasets.synthetic.camera_render import DepthImage, render, render_depth
from crossi2p_core.datasets.synthetic.intersect import MISS
from crossi2p_core.datasets.synthetic.lidar_scan import point_cloud, scan
from crossi2p_core.datasets.synthetic.raycast import cast, is_blocked
from crossi2p_core.datasets.synthetic.surface import surfaces
from crossi2p_core.datasets.synthetic.world import Builder, Material, Shape, World, place
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Small tensors are fastest on one core, and the other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- rays ---------------------------------------------------------------------------------------------------------

TILT = se3.exp_so3(np.array([0.7, -0.4, 1.1]))


def solids() -> World:
    """One of each shape, leaning, tilted and turned."""
    builder = Builder()
    builder.add(Shape.BOX, Material.METAL, (6, 0, 0), (1.0, 0.8, 0.6), 0.4)
    builder.add(Shape.BOX, Material.PAINT, (0, 6, 0.3), (1.2, 0.9, 0.7), -0.8, taper=(0.5, 0.2, 0.3, 0.0))
    builder.add(Shape.CYLINDER, Material.METAL, (-6, 0, -0.2), (0.9, 0.5, 1.1), rotation=TILT)
    builder.add(Shape.ELLIPSOID, Material.CLOTH, (0, -6, 0.1), (1.3, 0.7, 0.9), 0.5)
    builder.add(Shape.BOX, Material.METAL, (0, 0, 7), (0.8, 1.1, 0.5), rotation=TILT.T)
    return builder.build()


def inside(world: World, points: np.ndarray) -> np.ndarray:
    """(n,) whether points (n, 3) lie in any primitive, from the shapes' definitions alone."""
    result = np.zeros(len(points), bool)
    for k in range(world.shape.shape[1]):
        half, lean = world.half[0, k].double().numpy(), world.taper[0, k].double().numpy()
        p = (points - world.center[0, k].double().numpy()) @ world.rotation[0, k].double().numpy()
        x, y, z = p.T
        up = z + half[2]
        if world.shape[0, k] == Shape.BOX:
            held = (np.abs(z) < half[2]) & (x + lean[0] * up < half[0]) & (-x + lean[1] * up < half[0])
            held &= (y + lean[2] * up < half[1]) & (-y + lean[3] * up < half[1])
        elif world.shape[0, k] == Shape.CYLINDER:
            held = (np.abs(z) < half[2]) & (((p / half)[:, :2] ** 2).sum(1) < 1)
        else:
            held = ((p / half) ** 2).sum(1) < 1
        result |= held
    return result


def test_rays_end_where_they_first_enter_a_solid() -> None:
    world = solids()
    rays = np.random.default_rng(0).normal(size=(24, 32, 3))
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    origin = np.array([0.3, -0.2, 0.1])
    hits = cast(world, torch.tensor(origin[None], dtype=torch.float32), torch.tensor(rays[None], dtype=torch.float32),
                (8, 8), 20.0)
    steps = np.arange(0, 12, 0.01)
    entered = inside(world, (origin + steps[:, None] * rays.reshape(-1, 1, 3)).reshape(-1, 3)).reshape(-1, len(steps))
    truth = np.where(entered.any(1), steps[entered.argmax(1)], MISS)
    found = hits.distance[0].numpy().ravel()
    agree = np.abs(truth - found) < 0.011
    grazing = np.minimum(truth, found) < MISS  # a ray through an edge may pass between two samples
    assert agree.mean() > 0.995 and (agree | grazing).all()
    assert len(np.unique(hits.primitive.numpy())) == 6  # five solids and nothing


def test_culling_loses_nothing() -> None:
    world, path = make_world("street", 5)
    T = torch.from_numpy(path.pose(0) @ se3.make(np.eye(3), np.array([0, 0, 1.7])))[None]
    rays = torch.from_numpy(LIDARS["vlp16"].directions()[:, ::3]).float()
    turned = torch.einsum("bij,hwj->bhwi", T[:, :3, :3].float(), rays)
    origin = T[:, :3, 3].float()
    tiled = cast(world, origin, turned, (8, 8), 100.0)
    single = cast(world, origin, turned, (1, 1), 100.0)
    assert (tiled.primitive == single.primitive).float().mean() > 0.999  # walls that touch may take turns
    assert torch.allclose(tiled.distance, single.distance, rtol=1e-5, atol=1e-4)


def test_what_is_behind_is_not_seen() -> None:
    def seen(wall: bool) -> set[int]:
        builder = Builder()
        builder.add(Shape.ELLIPSOID, Material.CLOTH, (12, 0, 0), (1, 1, 1))
        builder.add(Shape.BOX, Material.CONCRETE, (6, 0, 0 if wall else -50), (0.2, 4, 4))
        result = scan(builder.build(), EXACT, torch.eye(4)[None], generator())
        return set(result.primitive[result.distance.isfinite()].tolist())

    assert seen(wall=True) == {1}
    assert seen(wall=False) == {0}


def test_shadows_fall_away_from_the_sun() -> None:
    builder = Builder()
    builder.add(Shape.BOX, Material.CONCRETE, (0, 0, 1), (0.5, 0.5, 1))
    sun = torch.tensor([[1.0, 0, 1]]) / 2**0.5
    ground = torch.tensor([[-1.5, 0, 0], [1.5, 0, 0], [-1.5, 0.7, 0], [-2.7, 0, 0.0]])
    dark = is_blocked(builder.build(), ground, torch.zeros(4, dtype=torch.int64), sun)
    assert dark.tolist() == [True, False, False, False]


def test_windows_are_recessed_as_deep_as_asked() -> None:
    builder = Builder()
    builder.add(Shape.BOX, Material.FACADE, (0, 8, 4), (6, 2, 4), params=(2.7, 2.5, 1.2, 1.4, 5, 0, 0, 0.2))
    world, origin = builder.build(), torch.tensor([[0.0, 0, 1.7]])
    v, u = torch.meshgrid(torch.linspace(-0.2, 0.9, 64), torch.linspace(-1, 1, 128), indexing="ij")
    rays = torch.nn.functional.normalize(torch.stack([u, torch.ones_like(u), v], -1), dim=-1)[None]
    hits = cast(world, origin, rays, (8, 8))
    s = surfaces(world, origin, rays.view(-1, 3), hits.distance.view(-1), hits.primitive.view(-1), 1e-3)
    behind = s.point[:, 1] - 6
    on_ray = origin + s.distance[:, None] * s.ray
    assert torch.allclose(s.point, on_ray, atol=1e-5)
    for part, depth in ((facade.WALL, 0.0), (facade.PANE, 0.2), (facade.DOOR, 0.2)):
        assert (s.part == part).sum() > 20
        assert torch.allclose(behind[s.part == part], torch.tensor(depth), atol=1e-4)
    reveal = behind[s.part == facade.REVEAL]
    assert len(reveal) > 50 and reveal.min() >= 0 and reveal.max() < 0.2001 and reveal.std() > 0.03


def test_worlds_in_a_batch_do_not_mix() -> None:
    worlds = [make_world(kind, 3) for kind in ("street", "hall")]
    T = [torch.from_numpy(path.pose(0) @ AHEAD) for _, path in worlds]
    together = render_depth(stack_worlds([w for w, _ in worlds]), TINY, torch.stack(T))
    looks = [Look(noise=0.0), Look(noise=0.0)]
    images = render(stack_worlds([w for w, _ in worlds]), TINY, torch.stack(T), looks, generator())
    for i, (world, _) in enumerate(worlds):
        alone = render_depth(world, TINY, T[i][None])
        assert torch.equal(alone.primitive[0], together.primitive[i])
        image = render(world, TINY, T[i][None], looks[:1], generator())[0]
        assert (image.int() - images[i].int()).abs().float().mean() < 0.5


# --- sensors that see the same world ------------------------------------------------------------------------------

def depth_bounds(truth: DepthImage, camera: Camera, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest distance in the 3x3 pixels around uv (n, 2)."""
    distance = np.pad(truth.distance[0].numpy(), 1, mode="edge")
    u, v = np.rint(uv).astype(int).T
    around = np.stack([distance[v + dv, u + du] for dv in range(3) for du in range(3)])
    return around.min(0), around.max(0)


@pytest.mark.parametrize("name", ["small", "distorted", "rational", "fisheye"])
def test_scan_and_image_see_one_geometry(name: str) -> None:
    source = SyntheticSource("street", 2, 1, name, EXACT)
    T_world_lidar, T_world_cam = poses(source)
    world, camera = source._place(0)[1], CAMERAS[name]
    points = point_cloud(scan(world, EXACT, T_world_lidar, generator()), EXACT).xyz
    in_camera = se3.transform(source.T_cam_lidar, points.astype(np.float64))
    uv, valid = camera.project(in_camera)
    distance = np.linalg.norm(in_camera[valid], axis=1)
    near, far = depth_bounds(render_depth(world, camera, T_world_cam), camera, uv[valid])
    margin = 0.01 + 0.002 * distance
    assert valid.sum() > 3000
    assert (distance > near - margin).mean() > 0.995  # nothing floats before the surface that the camera sees
    agree = (distance > near - margin) & (distance < far + margin)
    assert agree.mean() > 0.9  # the rest stands behind something: the sensors are not in one place


def test_a_ray_through_a_pixel_meets_the_point_that_projects_there() -> None:
    for name, camera in CAMERAS.items():
        if name == "kitti":
            continue
        source = SyntheticSource("hall", 1, 1, name)
        _, T_world_cam = poses(source)
        truth = render_depth(source._place(0)[1], camera, T_world_cam)
        hit = truth.distance[0].isfinite().numpy()
        points = se3.transform(se3.inverse(T_world_cam[0].numpy()), truth.point[0].double().numpy()[hit])
        uv, valid = camera.project(points)
        pixels = np.argwhere(hit)[:, ::-1]
        assert valid.mean() > 0.9
        assert np.abs(uv - pixels)[valid].max() < 0.05


@pytest.mark.parametrize("name", sorted(LIDARS))
def test_every_lidar(name: str) -> None:
    lidar = replace(LIDARS[name], steps=min(LIDARS[name].steps, 2000))
    cloud = SyntheticSource("street", 4, 1, TINY, lidar, samples=1)[0].cloud
    rows, columns = lidar.shape
    distance = np.linalg.norm(cloud.xyz, axis=1)
    assert 0.3 * rows * columns < len(cloud) <= rows * columns
    assert distance.min() > lidar.range_m[0] - 5 * lidar.sigma_m and distance.max() < lidar.range_m[1] + 0.2
    assert cloud.ring is not None and cloud.time is not None and cloud.intensity is not None
    assert cloud.ring.min() >= 0 and cloud.ring.max() < rows
    assert cloud.time.min() >= 0 and cloud.time.max() < 1 / lidar.rate
    assert cloud.intensity.min() >= 0 and cloud.intensity.max() <= 1
    if lidar.pattern == "spinning":
        elevation = np.degrees(np.arcsin(cloud.xyz[:, 2] / distance))
        assert np.abs(elevation - np.array(lidar.elevations)[cloud.ring]).max() < 0.01
        assert np.allclose(np.histogram(np.arctan2(*cloud.xyz[:, 1::-1].T), 4)[0] / len(cloud), 0.25, atol=0.12)
    else:
        assert np.degrees(np.abs(np.arctan2(cloud.xyz[:, 1], cloud.xyz[:, 0]))).max() <= lidar.field[0] / 2 + 0.1


def test_a_rosette_does_not_repeat() -> None:
    rosette = LIDARS["livox"]
    assert np.abs(rosette.directions(0) - rosette.directions(1)).max() > 0.01


def test_range_noise_is_as_large_as_asked() -> None:
    world, path = make_world("yard", 1)
    T = torch.from_numpy(path.pose(0) @ se3.make(np.eye(3), np.array([0, 0, 1.7])))[None]
    result = scan(world, replace(EXACT, sigma_m=0.05), T, generator())
    error = (result.distance - result.exact)[result.distance.isfinite()]
    assert abs(float(error.std()) - 0.05) < 0.002 and abs(float(error.mean())) < 0.002


def test_intensity_follows_the_material() -> None:
    builder = Builder()
    for k, material in enumerate((Material.RUBBER, Material.PLASTER, Material.SIGN)):
        builder.add(Shape.BOX, material, place(np.array([[0, 0, 0, 0.3 * k]]), (10, 0, 0)), (0.05, 1.2, 1.2), 0.3 * k,
                    color=(0.02,) * 3 if material == Material.RUBBER else (0.6,) * 3, params=(4,))
    result = scan(builder.build(), EXACT, torch.eye(4)[None], generator())
    back = result.distance.isfinite()
    rubber, plaster, sign = (float(result.intensity[back & (result.primitive == k)].mean()) for k in range(3))
    assert rubber < 0.12 < 0.4 < plaster < 0.75 < sign


def test_weak_echoes_are_lost_first() -> None:
    def share(distance: float, color: float, turn: float = 0.0) -> float:
        builder = Builder()
        builder.add(Shape.BOX, Material.CLOTH, (distance, 0, 0), (0.05, 3, 3), turn, color=(color,) * 3)
        result = scan(builder.build(), EXACT, torch.eye(4)[None], generator())
        return float(result.distance.isfinite().sum() / result.exact.isfinite().sum())

    assert share(10, 0.8) > 0.99
    assert share(110, 0.05) < share(60, 0.05) < share(10, 0.05)
    assert share(60, 0.05, turn=1.4) < share(60, 0.05)


