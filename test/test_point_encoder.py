"""The point encoder: blind to yaw, to the order of points and to rows that are not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossi2p_core.model.batch import PointPyramid
from crossi2p_core.model.config import PointEncoderConfig, preset
from crossi2p_core.model.edge_conv import EdgeConv, nearest_features, strongest_edges
from crossi2p_core.model.gather import rows
from crossi2p_core.model.nearest import nearest_of_one
from crossi2p_core.model.point_encoder import PointEncoder, PointFeatures
from crossi2p_core.model.point_pyramid import build_pyramid, levels_of
from crossi2p_core.model.radial_frame import edge_geometry

CONFIG = PointEncoderConfig(points=432, ratio=3, neighbours=8, dims=(16, 24, 32), fine_dim=12)


def scan(count: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(count, 3)) * [1, 1, 0.2]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return (direction * 3.5 * 15 ** rng.random((count, 1))).astype(np.float32)


def pyramid_of(count: int = 2000, seed: int = 0, config: PointEncoderConfig = CONFIG) -> PointPyramid:
    rng = np.random.default_rng(seed)
    sensor = rng.random((count, 2)).astype(np.float32)
    return build_pyramid(scan(count, seed), sensor, config, rng)


def encoder(config: PointEncoderConfig = CONFIG) -> PointEncoder:
    torch.manual_seed(0)
    return PointEncoder(config).eval()


def rebuilt(pyramid: PointPyramid, xyz: Tensor) -> PointPyramid:
    """The same points at other places xyz (1, N_0, 3): neighbours and features found anew."""
    return levels_of(xyz, pyramid.features[..., :2], pyramid.valid[0].sum(dim=1), CONFIG, nearest_of_one)


def turned(xyz: Tensor, degrees: float) -> Tensor:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return xyz @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=xyz.dtype)


def in_double(cloud: PointPyramid) -> PointPyramid:
    return replace(cloud, xyz=tuple(p.double() for p in cloud.xyz), features=cloud.features.double())


def furthest(a: PointFeatures, b: PointFeatures) -> float:
    return max(float((a.coarse - b.coarse).abs().max()), float((a.fine - b.fine).abs().max()))


@pytest.mark.parametrize("level", [0, 1])
def test_shapes_are_those_of_the_configuration(level: int) -> None:
    config = replace(CONFIG, fine_level=level)
    out = encoder(config)(pyramid_of())
    assert out.coarse.shape == (1, 48, 32) and out.fine.shape == (1, (432, 144)[level], 12)
    assert out.coarse.isfinite().all() and out.fine.isfinite().all()
    assert float(out.coarse.std()) > 0.1 and float(out.fine.std()) > 0.1


@pytest.mark.parametrize("degrees", [33.0, 180.0, -97.5])
def test_turning_the_scan_changes_nothing(degrees: float) -> None:
    cloud, net = pyramid_of(), encoder()
    after = replace(cloud, xyz=tuple(turned(p.double(), degrees).float() for p in cloud.xyz))
    assert furthest(net(cloud), net(after)) < 1e-4
    exact = in_double(cloud)
    after = replace(exact, xyz=tuple(turned(p, degrees) for p in exact.xyz))
    assert furthest(net.double()(exact), net(after)) < 1e-10


def test_turning_the_points_before_the_pyramid_is_built_changes_nothing_either() -> None:
    cloud, net = pyramid_of(), encoder()
    after = rebuilt(cloud, turned(cloud.xyz[0].double(), 61.0).float())
    assert furthest(net(cloud), net(after)) < 2e-2
    one, two = net(cloud), net(after)
    assert float((one.fine - two.fine).abs().median()) < 1e-5


def test_moving_the_scan_does_change_something() -> None:
    cloud, net = pyramid_of(), encoder()
    after = rebuilt(cloud, cloud.xyz[0] + torch.tensor([2.0, 0, 0]))
    assert furthest(net(cloud), net(after)) > 0.1


def test_the_order_of_points_does_not_matter() -> None:
    cloud, net = pyramid_of(), encoder().double()
    cloud = in_double(cloud)
    rng = np.random.default_rng(5)
    orders = [torch.from_numpy(rng.permutation(p.shape[1])) for p in cloud.xyz]
    places = [torch.empty_like(o).scatter_(0, o, torch.arange(len(o))) for o in orders]  # old row -> new row
    mixed = _mixed(cloud, orders, places)
    one, two = net(cloud), net(mixed)
    assert torch.allclose(one.coarse[:, orders[2]], two.coarse, atol=1e-10)
    assert torch.allclose(one.fine[:, orders[0]], two.fine, atol=1e-10)


def _mixed(cloud: PointPyramid, orders: list[Tensor], places: list[Tensor]) -> PointPyramid:
    """The rows of each level in another order, and indices that follow."""
    return PointPyramid(
        tuple(p[:, o] for p, o in zip(cloud.xyz, orders, strict=True)),
        tuple(v[:, o] for v, o in zip(cloud.valid, orders, strict=True)),
        tuple(place[i][:, o] for i, place, o in zip(cloud.neighbours, places, orders, strict=True)),
        tuple(places[n][cloud.down[n]][:, orders[n + 1]] for n in range(2)),
        tuple(places[n + 1][cloud.up[n]][:, orders[n]] for n in range(2)),
        cloud.features[:, orders[0]])


def test_rows_that_are_not_there_never_reach_those_that_are() -> None:
    cloud, net = pyramid_of(200), encoder()
    counts = [int(v.sum()) for v in cloud.valid]
    assert counts == [200, 66, 22]
    noise = torch.Generator().manual_seed(1)
    broken = replace(
        cloud, features=torch.where(cloud.valid[0][..., None], cloud.features, 1e3),
        xyz=tuple(torch.where(v[..., None], p, 50 * torch.randn(p.shape, generator=noise))
                  for p, v in zip(cloud.xyz, cloud.valid, strict=True)))
    one, two = net(cloud), net(broken)
    assert torch.equal(one.coarse[:, :22], two.coarse[:, :22])
    assert torch.equal(one.fine[:, :200], two.fine[:, :200])


def test_a_cloud_gets_the_same_alone_and_in_a_batch() -> None:
    a, b = pyramid_of(seed=0), pyramid_of(100, seed=1)
    both = PointPyramid(*(tuple(torch.cat(pair) for pair in zip(x, y, strict=True)) for x, y in (
        (a.xyz, b.xyz), (a.valid, b.valid), (a.neighbours, b.neighbours), (a.down, b.down), (a.up, b.up))),
        torch.cat([a.features, b.features]))
    net = encoder()
    together = net(both)
    for i, one in enumerate((net(a), net(b))):
        part = PointFeatures(together.coarse[i:i + 1], together.fine[i:i + 1])
        assert furthest(part, one) < 1e-4


@pytest.mark.parametrize("level", [0, 1])
def test_gradients_reach_every_parameter(level: int) -> None:
    net = encoder(replace(CONFIG, fine_level=level)).train()
    out = net(pyramid_of())
    (out.coarse.square().mean() + (out.fine - 1).square().mean()).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert idle == ["coarse_norm.bias"] or idle == []


def test_edge_conv_is_the_layer_of_the_paper() -> None:
    """norm(max_j (W [x_i, x_j - x_i] + P g_ij)), the factors put together again, edge by edge."""
    torch.manual_seed(0)
    conv = EdgeConv(5, 7)
    x, index, geometry = torch.randn(2, 9, 5), torch.randint(0, 9, (2, 9, 4)), torch.randn(2, 9, 4, 4)
    W = torch.cat([conv.own.weight + conv.other.weight, conv.other.weight], dim=1)  # on x_i and on x_j - x_i
    for b in range(2):
        for i in range(9):
            edges = [W @ torch.cat([x[b, i], x[b, j] - x[b, i]]) + conv.own.bias + conv.place.weight @ g
                     for j, g in zip(index[b, i], geometry[b, i], strict=True)]
            expected = conv.norm(torch.stack(edges).amax(dim=0))
            assert torch.allclose(conv(x, x, index, geometry)[b, i], expected, atol=1e-5)


def test_both_ways_to_the_strongest_edge_agree() -> None:
    torch.manual_seed(0)
    parts = torch.randn(2, 30, 8), torch.randint(0, 30, (2, 20, 6)), torch.randn(2, 20, 6, 4), torch.randn(8, 4)
    at_once = strongest_edges(*parts)
    with torch.no_grad():
        assert torch.allclose(strongest_edges(*parts), at_once, atol=1e-6)
    other, index, geometry, weight = parts
    assert torch.allclose(at_once, (rows(other, index) + geometry @ weight.t()).amax(dim=2), atol=1e-6)


def test_the_dynamic_graph_is_brute_force_and_leaves_out_what_is_not_there() -> None:
    x = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 40, dtype=torch.bool)
    valid[1, 5:] = False  # fewer than k
    index = nearest_features(x, valid, 8)
    distance = (x[0][:, None] - x[0]).norm(dim=2)
    assert torch.equal(index[0], distance.topk(8, largest=False).indices)
    assert int(index[1].max()) < 5 and torch.equal(index[1, :5, 0], torch.arange(5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_features(x, valid, 8), index)


def test_edges_are_told_away_left_and_up_and_never_grow_without_bound() -> None:
    centre = torch.tensor([[[0.0, 10.0, 0.0]]])
    near = centre + torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1], [0, 0, 0], [900, 0, 0]])
    told = edge_geometry(centre, near, torch.arange(5)[None, None])[0, 0]
    assert torch.allclose(told[:3, :3], torch.eye(3) * 10 / 11, atol=1e-5)  # 1 m at 10 m is ten units
    assert torch.allclose(told[:3, 3], torch.tensor(11.0).log().expand(3)) and float(told[3].abs().max()) < 1e-5
    assert float(told.abs().max()) < 10


def test_points_above_the_sensor_have_finite_gradients() -> None:
    xyz = np.concatenate([scan(300), np.tile([0, 0, 6.0], (30, 1))]).astype(np.float32)
    net = encoder().train()
    out = net(build_pyramid(xyz, np.ones((330, 2), np.float32), CONFIG, np.random.default_rng(0)))
    out.fine.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_mixed_precision_is_near_full_precision() -> None:
    cloud, net = pyramid_of(), encoder()
    with torch.no_grad():
        full = net(cloud)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = net(cloud)
    assert float((full.coarse - mixed.coarse.float()).abs().mean()) < 0.05
    with torch.autocast("cpu", torch.bfloat16):
        net(cloud).fine.float().sum().backward()


class Flat(nn.Module):
    """The encoder with plain tensors in and out, for torch.export."""

    def __init__(self, net: PointEncoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, xyz: list[Tensor], valid: list[Tensor], neighbours: list[Tensor], down: list[Tensor],
                up: list[Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(PointPyramid(tuple(xyz), tuple(valid), tuple(neighbours), tuple(down), tuple(up), features))
        return out.coarse, out.fine


@torch.no_grad()
def test_the_exported_encoder_says_the_same() -> None:
    config = replace(CONFIG, neighbours=4, dynamic_layers=1)  # tracing takes a while
    cloud, other = pyramid_of(config=config), pyramid_of(150, seed=3, config=config)
    parts = [(list(c.xyz), list(c.valid), list(c.neighbours), list(c.down), list(c.up), c.features)
             for c in (cloud, other)]
    flat = Flat(encoder(config)).eval()
    exported = torch.export.export(flat, parts[0]).module()
    for part in parts:
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(exported(*part), flat(*part), strict=True))


@pytest.mark.parametrize(("name", "millions"), [("light", 0.5), ("full", 2.0)])
def test_presets_are_small(name: str, millions: float) -> None:
    assert sum(p.numel() for p in PointEncoder(preset(name).points).parameters()) < 1e6 * millions
