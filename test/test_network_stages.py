"""The stages of the network by themselves: places, attention, scores, expectations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossi2p_core.model.attention import TransformerLayer
from crossi2p_core.model.coarse import CoarseMatcher, CoarseScores
from crossi2p_core.model.config import CoarseConfig, FineConfig, ImageEncoderConfig, NetworkConfig, PointEncoderConfig
from crossi2p_core.model.fine import LEAST_SCORE, FineMatcher, FinePoints, coarse_heat, expected_offsets
from crossi2p_core.model.gather import rows
from crossi2p_core.model.rotary import cell_centres, ray_angles, rotate, superpixel_phases, superpoint_phases

GRID = (4, 6)
K = torch.tensor([[[30.0, 0, 23.5], [0, 30, 15.5], [0, 0, 1]]])


def yawed(xyz: Tensor, angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return xyz @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def some_points(count: int = 20, seed: int = 0) -> Tensor:
    return torch.randn(1, count, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([20.0, 20.0, 2.0])


def matcher() -> CoarseMatcher:
    torch.manual_seed(0)
    return CoarseMatcher(CoarseConfig(dim=32, heads=2, layers=2)).eval()


def scores_of(xyz: Tensor, valid: Tensor | None = None, inside: Tensor | None = None) -> CoarseScores:
    generator = torch.Generator().manual_seed(1)
    points, image = torch.randn(1, 20, 256, generator=generator), torch.randn(1, 24, 256, generator=generator)
    with torch.no_grad():
        return matcher()(points, image, xyz, torch.ones(1, 20, dtype=torch.bool) if valid is None else valid, K,
                         torch.ones(1, 24, dtype=torch.bool) if inside is None else inside, GRID)[0]


def test_attention_by_rotary_angles_sees_differences_of_azimuth_alone() -> None:
    xyz, x = some_points(), torch.randn(1, 1, 20, 16)
    def products(points: Tensor) -> Tensor:
        turned = rotate(x, superpoint_phases(points, 16))
        return turned @ turned.transpose(-1, -2)
    torch.testing.assert_close(products(xyz), products(yawed(xyz, 2.5)), rtol=1e-3, atol=2e-3)
    assert not torch.allclose(products(xyz), products(xyz + torch.tensor([0.0, 0.0, 1.0])), atol=0.1)


def test_a_superpixel_is_known_by_the_angles_of_its_ray() -> None:
    angles = ray_angles(K, GRID)[0]
    centre = cell_centres(GRID, K.device)
    assert centre[0].tolist() == [3.5, 3.5] and centre[-1].tolist() == [43.5, 27.5]
    assert angles[0, 0].item() == pytest.approx(math.atan((3.5 - 23.5) / 30))
    ray = torch.linalg.inv(K[0]) @ torch.tensor([3.5, 3.5, 1.0])
    assert angles[0, 1].item() == pytest.approx(math.asin(ray[1] / ray.norm()), rel=1e-5)
    assert superpixel_phases(K, GRID, 16).shape == (1, 24, 8)


def test_the_yaw_of_the_scan_does_not_matter_to_the_scores() -> None:
    xyz = some_points()
    torch.testing.assert_close(scores_of(xyz).similarity, scores_of(yawed(xyz, -1.3)).similarity, rtol=1e-3, atol=1e-3)


def test_scores_are_a_dual_softmax_within_what_is_in_view() -> None:
    scores = scores_of(some_points())
    dual, similarity = scores.dual_softmax()[0].double(), scores.similarity[0].double()
    for m, c in ((0, 0), (7, 13), (19, 23)):
        row, column = similarity[m].exp(), similarity[:, c].exp()
        expected = row[c] / row.sum() * column[m] / column.sum() * torch.sigmoid(scores.in_view[0, m].double())
        assert dual[m, c].item() == pytest.approx(expected.item(), rel=1e-4)
    inside, outside = scores.log_likelihood()
    total = inside.exp().sum(dim=2) + outside.exp()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_what_is_not_valid_neither_matches_nor_matters() -> None:
    xyz, valid, inside = some_points(), torch.ones(1, 20, dtype=torch.bool), torch.ones(1, 24, dtype=torch.bool)
    valid[0, 15:], inside[0, 20:] = False, False
    scores = scores_of(xyz, valid, inside)
    moved = xyz.clone()
    moved[0, 15:] += 5.0
    torch.testing.assert_close(scores.similarity[:, :15], scores_of(moved, valid, inside).similarity[:, :15])
    dual = scores.dual_softmax()[0]
    assert dual[15:].max() < 1e-6 and dual[:, 20:].max() < 1e-6 and torch.isfinite(dual).all()


def test_a_token_without_any_context_stays_finite() -> None:
    layer = TransformerLayer(32, 2, cross=True)
    x = torch.randn(2, 5, 32)
    out = layer(x, torch.randn(2, 7, 32), torch.zeros(2, 7, dtype=torch.bool))
    assert torch.isfinite(out).all()


def test_rows_are_those_of_each_item() -> None:
    x, index = torch.arange(24.0).view(2, 4, 3), torch.tensor([[[3, 0]], [[1, 1]]])
    torch.testing.assert_close(rows(x, index), torch.stack([x[0][index[0]], x[1][index[1]]]))


def test_offsets_are_those_that_an_upright_camera_at_the_lidar_sees() -> None:
    """A camera that looks at the superpoint itself; small offsets, so that perspective is nearly linear."""
    for yaw in (0.0, 1.1):
        centre = yawed(torch.tensor([[[[20.0, 0.0, 0.0]]]]), yaw)
        points = yawed(torch.tensor([[[[20.0, 1.0, 0.0], [20.0, 0.0, 1.0]]]]), yaw)
        offsets = expected_offsets(points, centre, K)[0, 0] * 8
        torch.testing.assert_close(offsets, torch.tensor([[-1.5, 0.0], [0.0, -1.5]]), rtol=1e-4, atol=1e-4)


def fine_stage(bf16: bool = False) -> tuple[FineMatcher, tuple, object]:
    """A fine matcher on one pair, its arguments, and what it says."""
    torch.manual_seed(0)
    config = NetworkConfig(size=(32, 64), image=ImageEncoderConfig(fine_dim=16, fine_stride=4),
                           points=PointEncoderConfig(fine_dim=16), coarse=CoarseConfig(dim=32, heads=2),
                           fine=FineConfig(dim=16, heads=2, layers=1, points=3, window=6))
    stage, grid = FineMatcher(config).eval(), config.grid
    cloud = FinePoints(torch.randn(1, 50, 16), torch.randn(1, 50, 3) * 10, torch.ones(1, 50, dtype=torch.bool),
                       torch.randn(1, 5, 3) * 10, torch.randint(0, 50, (1, 5, 3)))
    chosen = torch.tensor([[[0, 0], [3, 17], [4, 31]]])  # a corner, the middle, the other corner of 4 x 8 superpixels
    arguments = (torch.randn(1, 16, 8, 16), cloud, torch.randn(1, 5, 32), torch.randn(1, 32, 32),
                 torch.randn(1, 5, 32), chosen, K, grid)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return stage, arguments, stage(*arguments)


def test_the_coarse_scores_reach_the_fine_stage_between_superpixels_and_moved_by_the_offset() -> None:
    grid = (4, 8)
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(8.0), indexing="ij")
    similarity = (10 * column + row).flatten()[None, None]  # of one match, linear over the image
    cells = torch.tensor([[[[11.5, 11.5], [15.5, 11.5], [27.5, 19.5]]]])  # px; centres of superpixels are at 3.5 + 8 n
    offsets = torch.tensor([[[[0.0, 0.0], [1.0, 0.5]]]])  # superpixels
    said = coarse_heat(similarity, cells, offsets, grid)[0, 0]
    torch.testing.assert_close(said[0], torch.tensor([11.0, 16.0, 32.0]))
    torch.testing.assert_close(said[1], said[0] - 10.5)
    masked = coarse_heat(torch.full_like(similarity, -1e4), cells, offsets, grid)
    assert (masked == LEAST_SCORE).all()


def test_a_fine_match_is_the_mean_over_the_window_around_its_superpixel() -> None:
    _, _, said = fine_stage()
    probability = said.heat.double().exp()
    torch.testing.assert_close(probability.sum(-1), torch.ones(1, 3, 3, dtype=torch.double))
    for k, centre in enumerate(([3.5, 3.5], [8 * 1.5 - 0.5, 8 * 2.5 - 0.5], [59.5, 27.5])):
        torch.testing.assert_close(said.cells[0, k].mean(0), torch.tensor(centre))
        for p in range(3):
            mean = sum(probability[0, k, p, c] * said.cells[0, k, c].double() for c in range(36))
            torch.testing.assert_close(said.pixels[0, k, p].double(), mean, rtol=1e-5, atol=1e-4)
    outside = ((said.cells[0, 0] < 0).any(-1))  # of the corner's window
    assert outside.sum() == 20 and probability[0, 0][:, outside].max() < 1e-6
    assert (said.weights > 0).all()


def test_mixed_precision_moves_a_fine_match_by_a_fraction_of_a_pixel() -> None:
    exact, mixed = fine_stage()[2], fine_stage(bf16=True)[2]
    assert mixed.heat.dtype == torch.float32
    torch.testing.assert_close(mixed.heat.exp().sum(-1), torch.ones(1, 3, 3), rtol=0, atol=1e-5)
    assert (exact.pixels - mixed.pixels).abs().max() < 0.5
