"""Weighted PnP in batches: Levenberg-Marquardt, starts, samples, and the loss that teaches matches by the pose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from crossi2p_core.geometry import se3
from crossi2p_core.solve.nonlinear import fit_pose
from crossi2p_core.solve.probabilistic.distributions import (
    AngularCentralGaussian,
    StudentT,
    fit_angular_central_gaussian,
    fit_student_t,
)
from crossi2p_core.solve.probabilistic.levenberg_marquardt import gauss_newton_step, levenberg_marquardt, moved
from crossi2p_core.solve.probabilistic.minimal import poses_of_three, poses_of_two, rays_of
from crossi2p_core.solve.probabilistic.monte_carlo import mean_pose_loss, pose_loss, sample_poses
from crossi2p_core.solve.probabilistic.problem import Problem, make_problem, normal_equations, robust_cost
from crossi2p_core.solve.probabilistic.start import random_start
from crossi2p_core.types import Camera

WIDTH, HEIGHT = 512, 160


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def scene(batch: int, count: int, noise_px: float = 0.0, dtype: torch.dtype = torch.float64,
          ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points (B, n, 3), their pixels (B, n, 2), K (B, 3, 3) and true poses (B, 4, 4)."""
    K = torch.tensor([[360.0, 2, 255], [0, 350, 80], [0, 0, 1]], dtype=dtype).expand(batch, 3, 3)
    pixels = torch.rand(batch, count, 2, dtype=dtype) * torch.tensor([WIDTH, HEIGHT], dtype=dtype)
    depth = torch.rand(batch, count, 1, dtype=dtype) * 40 + 4
    T = se3.exp_se3(torch.randn(batch, 6, dtype=dtype) * torch.tensor([1, 1, 1, 2, 2, 2], dtype=dtype))
    points = se3.transform(se3.inverse(T), depth * rays_of(pixels, K))
    return points, pixels + noise_px * torch.randn_like(pixels), K, T


def nearby(T: Tensor, deg: float = 6.0, m: float = 0.5) -> Tensor:
    size = torch.tensor([math.radians(deg)] * 3 + [m] * 3, dtype=T.dtype)
    return moved(T, torch.randn(len(T), 6, dtype=T.dtype) * size)


def worst(T: Tensor, truth: Tensor) -> tuple[float, float]:
    return float(se3.rotation_error_deg(T, truth).max()), float(se3.translation_error_m(T, truth).max())


def test_the_normal_equations_are_those_of_the_cost() -> None:
    points, pixels, K, T = scene(2, 40, noise_px=8.0)
    problem = make_problem(points, pixels, torch.rand(2, 40, 2, dtype=torch.float64) + 0.2, K, relative_delta=0.03)
    xi = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    cost = robust_cost(problem, (se3.exp_se3(xi) @ T)[:, None])[:, 0]
    slope, = torch.autograd.grad(cost.sum(), xi)
    H, g, same = normal_equations(problem, T)
    assert torch.allclose(g, slope, rtol=1e-9) and torch.allclose(same, cost)
    inside = make_problem(points, pixels, problem.weights, K, relative_delta=1e3)
    gentle = levenberg_marquardt(inside, T, 30).T  # where the slope is zero, H is the curvature but for the residuals
    assert torch.allclose(normal_equations(inside, gentle)[1], torch.zeros(2, 6, dtype=torch.float64), atol=1e-4)
    assert bool((torch.linalg.eigvalsh(normal_equations(inside, T)[0] - H) > 0).all())  # the kernel lets go


def test_levenberg_marquardt_finds_the_pose_of_exact_matches() -> None:
    points, pixels, K, T = scene(8, 60)
    found = levenberg_marquardt(make_problem(points, pixels, torch.ones(8, 60), K), nearby(T), 15)
    deg, m = worst(found.T, T)
    assert deg < 1e-6 and m < 1e-7 and float(found.cost.max()) < 1e-9


def test_problems_of_a_batch_have_nothing_to_do_with_each_other() -> None:
    points, pixels, K, T = scene(4, 50, noise_px=1.0)
    start, weights = nearby(T), torch.rand(4, 50, 2, dtype=torch.float64)
    pixels[2] = torch.rand(50, 2) * 500  # one of them is hopeless
    whole = levenberg_marquardt(make_problem(points, pixels, weights, K), start)
    for i in range(4):
        alone = levenberg_marquardt(
            make_problem(*(x[i:i + 1] for x in (points, pixels, weights, K))), start[i:i + 1])
        assert torch.allclose(alone.T[0], whole.T[i], atol=1e-9)
        assert torch.allclose(alone.covariance[0], whole.covariance[i], rtol=1e-6)


def test_no_step_makes_it_worse() -> None:
    points, pixels, K, T = scene(32, 30, noise_px=30.0)
    problem = make_problem(points, pixels, torch.ones(32, 30), K)
    start = nearby(T, 120.0, 10.0)  # some see half of the points behind them
    costs = torch.stack([levenberg_marquardt(problem, start, n).cost for n in (0, 1, 2, 5, 10)])
    assert bool((costs.diff(dim=0) <= 0).all()) and bool(costs.isfinite().all())
    assert float((costs[-1] < costs[0]).double().mean()) > 0.5


def test_the_covariance_is_the_spread_of_the_answers() -> None:
    """200 draws of the noise: errors measured by the covariance are chi-squared with 6 degrees of freedom."""
    points, pixels, K, T = (x.expand(200, *x.shape[1:]) for x in scene(1, 60))
    sigma = torch.tensor([2.0, 0.5], dtype=torch.float64)  # px along u and v
    noisy = pixels + sigma * torch.randn_like(pixels)
    found = levenberg_marquardt(make_problem(points, noisy, (1 / sigma).expand(200, 60, 2), K, 1.0), T)
    error = se3.log_se3(T @ se3.inverse(found.T))
    square = (error * torch.linalg.solve(found.covariance, error)).sum(-1)
    assert 5.3 < float(square.mean()) < 6.7


def test_the_covariance_is_that_of_the_polish_for_single_frames() -> None:
    points, pixels, K, T = scene(1, 400, noise_px=1.0)
    K = K.clone()
    K[:, 0, 1] = 0
    pixels = pixels - torch.tensor([2.0, 0]) * ((pixels[..., 1:] - 80) / 350)  # the lens model there has no skew
    ours = levenberg_marquardt(make_problem(points, pixels, torch.ones(1, 400), K, 1.0), T)
    other = fit_pose(T[0].numpy(), points[0].numpy(), pixels[0].numpy(), Camera(K[0].numpy(), WIDTH, HEIGHT),
                     scale_px=1e3)
    assert np.allclose(ours.T[0], other.T_cam_lidar, atol=1e-5)
    assert np.allclose(ours.covariance[0] * other.sigma_px**2, other.covariance, rtol=0.02,
                       atol=1e-3 * other.covariance.max())


def test_points_behind_the_camera_pull_at_nothing_and_are_not_free() -> None:
    points, pixels, K, T = scene(1, 80, noise_px=0.5)
    behind = torch.tensor([[[0.3, 0.1, -5.0]]], dtype=torch.float64)
    points = torch.cat([points, se3.transform(se3.inverse(T), behind)], dim=1)
    pixels = torch.cat([pixels, torch.tensor([[[200.0, 80.0]]], dtype=torch.float64)], dim=1)
    problem = make_problem(points, pixels, torch.ones(1, 81), K)
    without = Problem(points[:, :80], pixels[:, :80], problem.weights[:, :80], K, problem.delta)
    assert torch.allclose(normal_equations(problem, T)[0], normal_equations(without, T)[0])
    assert worst(levenberg_marquardt(problem, T).T, T)[0] < 0.1
    away = se3.exp_se3(torch.tensor([[0, math.pi, 0, 0, 0, 0]], dtype=torch.float64)) @ T
    cost = robust_cost(problem, torch.stack([T, away], dim=1))[0]
    assert cost[1] > 100 * cost[0]


def test_matches_that_leave_the_pose_open_are_said_to() -> None:
    points, pixels, K, T = scene(1, 2)
    found = levenberg_marquardt(make_problem(points, pixels, torch.ones(1, 2), K), T)
    assert bool(found.T.isfinite().all()) and float(torch.linalg.eigvalsh(found.covariance).max()) > 1e3
    nothing = levenberg_marquardt(make_problem(points, pixels, torch.zeros(1, 2), K), T)
    assert bool(nothing.T.isfinite().all()) and bool(nothing.covariance.isfinite().all())


def test_the_gauss_newton_step_has_the_right_gradients() -> None:
    points, pixels, K, T = scene(1, 12, noise_px=2.0)
    weights = torch.rand(1, 12, 2, dtype=torch.float64) + 0.5
    T = levenberg_marquardt(make_problem(points, pixels, weights, K), T).T

    def step(pixels: Tensor, weights: Tensor) -> Tensor:
        return gauss_newton_step(make_problem(points, pixels, weights, K), T)[:, :3]

    assert torch.autograd.gradcheck(step, (pixels.requires_grad_(), weights.requires_grad_()), eps=1e-5, atol=1e-6)


def test_the_gauss_newton_step_moves_as_the_minimum_does() -> None:
    """Its derivative tells where Levenberg-Marquardt ends when the pixels move."""
    points, pixels, K, T = scene(1, 20)
    change = 1e-3 * torch.randn_like(pixels)
    weights = torch.ones(1, 20)
    solved = levenberg_marquardt(make_problem(points, pixels + change, weights, K), T, 20).T - T
    _, told = torch.autograd.functional.jvp(
        lambda x: gauss_newton_step(make_problem(points, x, weights, K), T), pixels, change)
    assert float(told.abs().max()) > 1e-6
    assert torch.allclose(told, solved, atol=1e-3 * float(solved.abs().max()))


@pytest.mark.parametrize("size", [2, 3])
def test_minimal_sets_give_the_pose_among_their_answers(size: int) -> None:
    points, pixels, K, T = scene(300, size)
    rays = rays_of(pixels, K)
    found, exists = poses_of_three(points, rays) if size == 3 else poses_of_two(points, rays, T[:, :3, 2])
    off = torch.where(exists, (found - T[:, None]).abs().amax((-2, -1)), torch.inf).amin(1)
    assert float((off < 1e-4).double().mean()) > 0.99
    seen = se3.transform(found, points[:, None].expand(-1, found.shape[1], -1, -1))
    bent = torch.linalg.cross(torch.nn.functional.normalize(seen, dim=-1),
                              torch.nn.functional.normalize(rays, dim=-1)[:, None].expand_as(seen)).norm(dim=-1)
    assert float((bent.amax(-1)[exists] < 1e-4).double().mean()) > 0.98  # every answer explains its matches


@pytest.mark.parametrize("gravity", [False, True])
def test_a_start_is_found_among_wrong_matches(gravity: bool) -> None:
    points, pixels, K, T = scene(6, 120, noise_px=1.0, dtype=torch.float32)
    wrong = torch.rand(6, 120) < 0.5
    pixels = torch.where(wrong[..., None], torch.rand_like(pixels) * torch.tensor([WIDTH, HEIGHT]), pixels)
    weights = torch.where(wrong, 0.1, 1.0)  # the network has a notion which
    problem = make_problem(points, pixels, weights, K)
    found = random_start(problem, 48, up=T[:, :3, 2] if gravity else None,
                         generator=torch.Generator().manual_seed(1))
    deg, m = worst(found.T, T)
    assert deg < 1.0 and m < 0.5
    again = random_start(problem, 48, up=T[:, :3, 2] if gravity else None,
                         generator=torch.Generator().manual_seed(1))
    assert torch.equal(found.T, again.T)


def test_given_poses_compete_and_the_best_wins() -> None:
    points, pixels, K, T = scene(2, 40, noise_px=0.5)
    problem = make_problem(points, pixels, torch.ones(2, 40), K)
    given = torch.stack([nearby(T, 170, 20.0), nearby(T, 2, 0.2)], dim=1)
    assert worst(random_start(problem, 0, given=given).T, T)[0] < 0.2
    with pytest.raises(ValueError, match="candidates or given"):
        random_start(problem, 0)


def test_proposals_are_densities_and_fit_their_samples() -> None:
    L = torch.linalg.cholesky(0.3 * torch.eye(3) + 0.1)[None]
    narrow, wide = StudentT(torch.ones(1, 3), L), StudentT(torch.zeros(1, 3), 3 * L)
    x = wide.sample(50_000)
    assert float((narrow.log_density(x) - wide.log_density(x)).exp().mean()) == pytest.approx(1, abs=0.05)
    again = fit_student_t(x, torch.softmax(narrow.log_density(x) - wide.log_density(x), 1), 1e-6 * torch.eye(3))
    assert torch.allclose(again.location, narrow.location, atol=0.1)
    turned = AngularCentralGaussian(torch.linalg.cholesky(torch.diag(torch.tensor([1.0, 0.1, 0.3, 0.2])) + 0.05)[None])
    even = AngularCentralGaussian(torch.eye(4)[None])
    q = even.sample(50_000)
    assert float((turned.log_density(q) - even.log_density(q)).exp().mean()) == pytest.approx(1, abs=0.05)
    assert torch.allclose(turned.log_density(-q), turned.log_density(q))
    q = turned.sample(50_000)
    found = fit_angular_central_gaussian(q, torch.full((1, 50_000), 2e-5), 1e-9 * torch.eye(4)).factor
    scale = (found @ found.mT)[0].trace() / (turned.factor @ turned.factor.mT)[0].trace()
    assert torch.allclose(found @ found.mT, scale * turned.factor @ turned.factor.mT, atol=0.03)


def test_the_normaliser_is_that_of_the_normal_density_where_matches_are_many() -> None:
    """-log of the density at its top is log sqrt(det 2 pi C), here by quaternions: a turn w is w / 2, and -q is q."""
    points, pixels, K, T = scene(3, 100, noise_px=1.0)
    problem = make_problem(points, pixels, torch.ones(3, 100), K)
    found = levenberg_marquardt(problem, T)
    loss = pose_loss(problem, found.T, sample_poses(problem, found, 4, 500))
    expected = 3 * math.log(2 * math.pi) + 0.5 * torch.logdet(found.covariance) - math.log(8) + math.log(2)
    assert torch.allclose(loss, expected, atol=0.15)


def test_the_samples_do_not_waste_themselves() -> None:
    points, pixels, K, T = scene(4, 100, noise_px=1.0, dtype=torch.float32)
    problem = make_problem(points, pixels, torch.ones(4, 100), K)
    samples = sample_poses(problem, levenberg_marquardt(problem, T))
    assert samples.T.shape == (4, 512, 4, 4)
    share = torch.softmax(-robust_cost(problem, samples.T) - samples.log_density, dim=1)
    assert float((1 / share.square().sum(1)).min()) > 100  # effective samples; turn and shift apart from each other


def test_the_loss_has_the_right_gradients_for_frozen_samples() -> None:
    points, pixels, K, T = scene(2, 6, noise_px=3.0)
    weights = torch.rand(2, 6, 2, dtype=torch.float64) + 0.2
    problem = make_problem(points, pixels, weights, K)
    samples = sample_poses(problem, levenberg_marquardt(problem, T), 2, 16)

    def loss(pixels: Tensor, weights: Tensor) -> Tensor:
        return pose_loss(make_problem(points, pixels, weights, K), T, samples)

    assert torch.autograd.gradcheck(loss, (pixels.requires_grad_(), weights.requires_grad_()), eps=1e-6, atol=1e-5)


def test_training_by_the_loss_brings_the_pose_to_the_truth() -> None:
    """Half of the matches are wrong and nobody says which: their weights must sink."""
    points, pixels, K, T = scene(2, 48, noise_px=1.0, dtype=torch.float32)
    wrong = torch.rand(2, 48) < 0.5
    pixels = torch.where(wrong[..., None], pixels + 60 * torch.randn_like(pixels), pixels)
    logits = torch.full((2, 48), -2.0, requires_grad=True)
    optimiser, both = torch.optim.Adam([logits], lr=0.2), torch.ones(2, dtype=torch.bool)

    def error() -> float:
        problem = make_problem(points, pixels, logits.detach().exp(), K)
        return float(se3.rotation_error_deg(levenberg_marquardt(problem, T).T, T).mean())

    before = error()
    for _ in range(40):
        optimiser.zero_grad()
        weights = logits.exp()[..., None].expand(-1, -1, 2)
        mean_pose_loss(points, pixels, weights, K, T, both, 2, 64).backward()
        optimiser.step()
    assert before > 1.0 and error() < 0.25 * before
    assert float(logits.detach()[~wrong].mean() - logits.detach()[wrong].mean()) > 1.5


def test_the_loss_leaves_out_broken_and_unusable_items() -> None:
    points, pixels, K, T = scene(2, 30, noise_px=1.0, dtype=torch.float32)
    points[1, 0] = torch.nan
    points, pixels, K, T = (torch.cat([x, x[:1]]) for x in (points, pixels, K, T))
    weights = torch.ones(3, 30, 2, requires_grad=True)
    loss = mean_pose_loss(points, pixels, weights, K, T, torch.tensor([True, True, False]), 2, 32)
    loss.backward()
    assert weights.grad is not None and bool(weights.grad.isfinite().all())
    assert [float(each.abs().max()) > 0 for each in weights.grad] == [True, False, False]
    nothing = mean_pose_loss(points, pixels, weights, K, T, torch.zeros(3, dtype=torch.bool), 2, 32)
    assert float(nothing) == 0.0


def test_larger_weights_do_not_make_the_gradients_of_the_loss_larger() -> None:
    points, pixels, K, T = scene(1, 60, noise_px=1.0)
    sizes = []
    for factor in (1.0, 4.0):
        moved = pixels.clone().requires_grad_()
        weights = torch.full((1, 60, 2), factor, dtype=torch.float64)
        mean_pose_loss(points, moved, weights, K, T, torch.ones(1, dtype=torch.bool), 2, 64,
                       torch.Generator().manual_seed(0)).backward()
        assert moved.grad is not None
        sizes.append(float(moved.grad.norm()))
    assert sizes[1] < 5 * sizes[0]  # 16 times without the division


def test_autocast_does_not_round_the_geometry() -> None:
    points, pixels, K, T = scene(1, 50, noise_px=1.0, dtype=torch.float32)
    problem, start = make_problem(points, pixels, torch.ones(1, 50), K), nearby(T)
    plain = levenberg_marquardt(problem, start)
    loss = pose_loss(problem, T, sample_poses(problem, plain, 2, 32, torch.Generator().manual_seed(0)))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(levenberg_marquardt(problem, start).T, plain.T)
        again = pose_loss(problem, T, sample_poses(problem, plain, 2, 32, torch.Generator().manual_seed(0)))
    assert torch.equal(loss, again)
