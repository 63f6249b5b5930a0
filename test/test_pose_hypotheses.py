"""Poses from dense match likelihoods: what a pose scores, and that the right one is found among mostly wrong peaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from match_maps import GRID, STRIDE, K, camera, likelihood, projected, street
from torch import Tensor

from crossi2p_core.geometry import se3
from crossi2p_core.solve.pnp import solve_pnp
from crossi2p_core.solve.probabilistic.ascent import sharpen
from crossi2p_core.solve.probabilistic.evidence import (
    ALIKE,
    LEAST,
    TYPICAL,
    Evidence,
    coarser,
    log_odds,
    of_frames,
    pick,
    score,
)
from crossi2p_core.solve.probabilistic.guesses import draw_matches, guess_by_one, guess_by_two
from crossi2p_core.solve.probabilistic.hypotheses import TOPS, Gravity, PoseEstimate, find_pose
from crossi2p_core.types import Camera, Prior

WITHIN_CELL = 0.58  # standard deviation of what is off by up to a superpixel, 8 px
TRIALS = 6


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Trial:
    """A street, a camera in it, and what a coarse stage says of it."""

    def __init__(self, seed: int, wrong: float = 0.8, noise_cells: float = WITHIN_CELL) -> None:
        rng = np.random.default_rng(seed)
        self.points = street(rng)
        self.T = camera(rng, self.points)
        self.maps, self.not_in_view = likelihood(rng, self.points, self.T, wrong, noise_cells=noise_cells)
        self.prior = Prior(se3.perturb(self.T, rng, 15, 1.0), 15, 1.0)
        self.gravity = Gravity(torch.from_numpy(self.T[:3, 2]).float())

    def find(self, **options: object) -> PoseEstimate:
        return find_pose(self.maps, self.not_in_view, self.points[None], K[None], **options)  # type: ignore[arg-type]

    def close(self, T: object, deg: float = 1.0, m: float = 0.5) -> bool:
        return bool(se3.rotation_error_deg(T, self.T) < deg and se3.translation_error_m(T, self.T) < m)

    @property
    def evidence(self) -> Evidence:
        return log_odds(self.maps, self.not_in_view, self.points[None], K[None])


def by_hand(evidence: Evidence, T: np.ndarray) -> float:
    """The score of one pose, superpoint by superpoint."""
    seen: dict[tuple[int, int], list[float]] = {}
    h, w = evidence.inside.shape[-2:]
    for m, point in enumerate(evidence.superpoints[0].double().numpy()):
        q = T[:3, :3] @ point + T[:3, 3]
        u, v = (K.double().numpy() @ q)[:2] / q[2]
        column, row = (u + 0.5) / STRIDE - 0.5, (v + 0.5) / STRIDE - 0.5
        if q[2] < 0.1 or not (-0.5 < column < w - 0.5 and -0.5 < row < h - 0.5):
            continue
        column, row = min(max(column, 0), w - 1), min(max(row, 0), h - 1)
        j, i = min(int(column), w - 2), min(int(row), h - 2)
        a, b = column - j, row - i
        cells = evidence.inside[0, m, i:i + 2, j:j + 2].double().numpy()
        value = float(np.array([1 - b, b]) @ cells @ np.array([1 - a, a]))
        seen.setdefault((round(row), round(column)), []).append(value - float(evidence.outside[0, m]))
    return sum(np.mean(gains) for gains in seen.values()) * (TYPICAL / max(len(seen) / (h * w), LEAST)) ** ALIKE


def test_a_score_is_the_sum_over_superpixels_of_what_their_superpoints_say_on_average() -> None:
    trial = Trial(0)
    beside = se3.exp_se3(np.array([0.1, -0.2, 0.05, 1, 0, -1])) @ trial.T
    poses = np.stack([trial.T, beside, np.diag([1.0, -1, -1, 1]) @ trial.T])
    got = score(trial.evidence, torch.from_numpy(poses).float()[None])[0]
    assert np.allclose(got, [by_hand(trial.evidence, T) for T in poses], atol=0.05)


def test_a_crowd_of_superpoints_says_no_more_than_one() -> None:
    trial = Trial(0)
    twice = [torch.cat([part, part], dim=1) for part in (trial.maps, trial.not_in_view, trial.points[None])]
    T = torch.from_numpy(trial.T).float()[None, None]
    assert torch.allclose(score(log_odds(*twice, K[None]), T), score(trial.evidence, T), rtol=1e-3)


def test_what_another_frame_says_adds_up() -> None:
    trial = Trial(0)
    twice = [torch.cat([part, part], dim=1) for part in (trial.maps, trial.not_in_view, trial.points[None])]
    frame = torch.arange(2).repeat_interleave(len(trial.points))
    T = torch.from_numpy(trial.T).float()[None, None]
    assert torch.allclose(score(log_odds(*twice, K[None], frame=frame), T), 2 * score(trial.evidence, T), rtol=1e-3)


def test_a_few_of_many_frames_say_what_they_say_alone() -> None:
    trial = Trial(0)
    parts = trial.maps, trial.not_in_view, trial.points[None]
    every = torch.arange(5).repeat_interleave(len(trial.points))
    five = log_odds(*(torch.cat([part] * 5, dim=1) for part in parts), K[None], frame=every)
    for i in (1, 3):  # what these say is of another place
        five.superpoints[:, every == i] += 50.0
    T = torch.from_numpy(trial.T).float()[None, None]
    few = of_frames(five, 3)
    assert few.frame.unique(return_counts=True)[1].tolist() == [len(trial.points)] * 3
    assert torch.allclose(score(few, T), 3 * score(trial.evidence, T), rtol=1e-3)
    assert of_frames(five, 5) is five


def test_scores_do_not_depend_on_how_they_are_chunked_or_batched() -> None:
    one, other = Trial(1), Trial(2)
    both = log_odds(torch.cat([one.maps, other.maps]), torch.cat([one.not_in_view, other.not_in_view]),
                    torch.stack([one.points, other.points]), K.expand(2, 3, 3))
    T = torch.from_numpy(np.stack([one.T, other.T])).float()
    many = torch.stack([T[:1].expand(400, 4, 4), T[1:].expand(400, 4, 4)])
    whole = score(both, many)
    assert whole.shape == (2, 400) and torch.allclose(whole, whole[:, :1].expand_as(whole))
    assert torch.allclose(whole[1, 0], score(other.evidence, T[None, 1:])[0, 0], atol=1e-3)


def test_the_smooth_score_has_the_slope_it_seems_to_have() -> None:
    trial = Trial(3)
    xi = torch.zeros(6, requires_grad=True)
    T = torch.from_numpy(trial.T).float()
    offset = torch.tensor([0.01, 0.02, -0.01, 0.1, 0.05, -0.1])
    slope, = torch.autograd.grad(score(trial.evidence, (se3.exp_se3(xi + offset) @ T)[None, None]).sum(), xi)
    assert bool(slope.isfinite().all()) and float(slope.abs().max()) > 1


def test_maps_that_say_nothing_prefer_no_pose() -> None:
    """Raw log probabilities would prefer the sky: every superpoint in view costs log of the number of superpixels."""
    trial = Trial(4)
    flat = torch.full_like(trial.maps, -math.log(GRID[0] * GRID[1])) + math.log(0.3)
    evidence = log_odds(flat, torch.full_like(trial.not_in_view, math.log(0.7)), trial.points[None], K[None])
    sky = se3.exp_se3(np.array([math.pi / 2, 0, 0, 0, 0, 0])) @ trial.T
    values = score(evidence, torch.from_numpy(np.stack([trial.T, sky])).float()[None])[0]
    assert float((values[0] - values[1]).abs()) < 0.5


def test_superpoints_that_are_not_valid_say_nothing() -> None:
    trial = Trial(5)
    valid = torch.ones(1, len(trial.points), dtype=torch.bool)
    valid[:, ::3] = False
    broken = torch.where(valid[..., None, None], trial.maps, -1e4 * torch.ones(()))
    not_in_view = torch.where(valid, trial.not_in_view, 0.0)
    kept = valid[0].nonzero()[:, 0]
    some = log_odds(trial.maps[:, kept], trial.not_in_view[:, kept], trial.points[None, kept], K[None])
    T = torch.from_numpy(trial.T).float()[None, None]
    masked = log_odds(broken, not_in_view, trial.points[None], K[None], valid=valid)
    assert torch.allclose(score(masked, T), score(some, T), atol=1e-2)
    assert torch.allclose(score(masked, T), score(pick(masked, kept), T), atol=1e-2)


def test_the_coarser_maps_see_a_rough_pose_where_the_fine_ones_do_not() -> None:
    trial = Trial(6)
    turned = [se3.exp_se3(np.radians([0, deg, 0, 0, 0, 0])) @ trial.T for deg in (0.0, 4.0, 60.0)]
    poses = torch.from_numpy(np.stack(turned)).float()[None]
    fine, coarse = (score(evidence, poses)[0] for evidence in (trial.evidence, coarser(trial.evidence)))
    assert (coarse[1] - coarse[2]) / (coarse[0] - coarse[2]) > (fine[1] - fine[2]) / (fine[0] - fine[2])


def test_matches_are_drawn_by_how_likely_they_are() -> None:
    trial = Trial(7)
    points, rays = draw_matches(trial.evidence, 4000, torch.Generator().manual_seed(0))
    assert points.shape == rays.shape == (4000, 3)
    q = torch.nn.functional.normalize(se3.transform(torch.from_numpy(trial.T).float(), points), dim=-1)
    right = float(((q * rays).sum(-1) > math.cos(math.radians(4))).float().mean())
    _, seen = projected(trial.points, trial.T)
    assert right > 2 * 0.2 * seen.mean()  # a blind draw: 1 peak in 5, of superpoints that are seen at all


def test_guesses_contain_the_neighbourhood_of_the_truth() -> None:
    for seed in range(3):
        trial = Trial(seed, wrong=0.9)
        generator = torch.Generator().manual_seed(0)
        for guesses in (guess_by_two(trial.evidence, 60_000, 15.0, generator),
                        guess_by_one(trial.evidence, 5000, 15.0, trial.gravity.up, math.radians(2), generator)):
            assert len(guesses) < 8000  # what does not fit is thrown out
            near = (se3.rotation_error_deg(guesses, trial.T) < 12) & (se3.translation_error_m(guesses, trial.T) < 4)
            assert int(near.sum()) >= 1


def test_one_right_match_and_gravity_give_the_heading() -> None:
    trial = Trial(0, wrong=0.0, noise_cells=0.0)
    guesses = guess_by_one(trial.evidence, 3000, 6.0, trial.gravity.up, 1e-3, torch.Generator().manual_seed(0))
    share = float((se3.rotation_error_deg(guesses, trial.T) < 15).double().mean())
    assert share > 3 * 30 / 360  # of headings drawn blindly


@pytest.mark.parametrize(("wrong", "known"), [(0.8, "nothing"), (0.9, "nothing"), (0.9, "gravity"), (0.9, "prior")])
def test_the_pose_is_found_where_the_best_matches_fail(wrong: float, known: str) -> None:
    trials = [Trial(seed, wrong) for seed in range(TRIALS)]
    found = []
    for trial in trials:
        options = {"nothing": {}, "gravity": {"gravity": trial.gravity}, "prior": {"prior": trial.prior}}[known]
        found.append(trial.close(trial.find(**options).T[0], deg=2.0, m=0.75))
    assert sum(found) >= TRIALS - 1
    if known == "nothing":
        assert sum(trial.close(by_best_matches(trial), deg=2.0, m=0.75) for trial in trials) <= TRIALS // 2


def by_best_matches(trial: Trial) -> np.ndarray:
    """(4, 4) by MAGSAC from the best superpixel of every superpoint that seems to be in view."""
    best = trial.maps[0].flatten(1).argmax(dim=1).numpy()
    pixels = STRIDE * (np.stack([best % GRID[1], best // GRID[1]], axis=1) + 0.5) - 0.5
    in_view = (trial.not_in_view[0] < math.log(0.5)).numpy()
    lens = Camera(K.numpy(), STRIDE * GRID[1], STRIDE * GRID[0])
    result = solve_pnp(trial.points.numpy()[in_view], pixels[in_view], lens, backend="magsac", threshold_px=12.0)
    return np.eye(4) if result.T_cam_lidar is None else result.T_cam_lidar


def test_the_same_seed_gives_the_same_answer_and_items_do_not_matter_to_each_other() -> None:
    one, other = Trial(1), Trial(2)
    first, again = one.find(seed=3), one.find(seed=3)
    assert torch.equal(first.T, again.T) and torch.equal(first.margin, again.margin)
    both = find_pose(torch.cat([other.maps, one.maps]), torch.cat([other.not_in_view, one.not_in_view]),
                     torch.stack([other.points, one.points]), K.expand(2, 3, 3), seed=3)
    assert torch.allclose(both.T[1], first.T[0], atol=1e-5) and both.covariance.shape == (2, 6, 6)


def test_the_covariance_and_the_margin_tell_good_from_bad() -> None:
    trial = Trial(0, noise_cells=1.0)
    good = trial.find(gravity=trial.gravity)
    error = se3.log_se3(torch.from_numpy(trial.T) @ se3.inverse(good.T[0].double()))
    assert float(error @ torch.linalg.solve(good.covariance[0].double(), error)) < 22.5  # chi-squared of 6: 0.1 %
    scrambled = trial.maps[:, torch.randperm(len(trial.points))]
    bad = find_pose(scrambled, trial.not_in_view, trial.points[None], K[None], gravity=trial.gravity)
    assert float(bad.margin) < 0.5 * float(good.margin) and float(bad.score) < 0.5 * float(good.score)


def test_the_answer_keeps_to_the_bounds_of_the_prior() -> None:
    trial = Trial(1)
    away = Prior(se3.exp_se3(np.radians([0, 30.0, 0, 0, 0, 0])) @ trial.T, 5.0, 0.3)  # the truth is out of bounds
    found = trial.find(prior=away).T[0]
    assert float(se3.rotation_error_deg(found, away.T_cam_lidar)) < 5.1
    assert float(se3.translation_error_m(found, away.T_cam_lidar)) < 0.31


def test_a_prior_may_be_so_wide_that_it_says_little() -> None:
    trial = Trial(3)
    wide = Prior(se3.perturb(trial.T, np.random.default_rng(0), 150, 4.0), 170.0, 6.0)
    assert trial.close(trial.find(prior=wide).T[0], deg=2.0)


def test_what_is_not_recorded_is_not_in_view() -> None:
    trial = Trial(2)
    padded = torch.nn.functional.pad(trial.maps, (0, 8, 0, 4), value=-1e4)
    recorded = torch.nn.functional.pad(torch.ones(1, *GRID, dtype=torch.bool), (0, 8, 0, 4))
    found = find_pose(padded, trial.not_in_view, trial.points[None], K[None], recorded=recorded)
    assert torch.equal(found.T, trial.find().T)


def test_maps_without_a_peak_end_in_an_answer_that_claims_little() -> None:
    trial = Trial(2)
    flat: Tensor = torch.full_like(trial.maps, -12.0)
    found = find_pose(flat, torch.full_like(trial.not_in_view, -0.3), trial.points[None], K[None])
    assert bool(found.T.isfinite().all()) and bool(found.covariance.isfinite().all())
    assert abs(float(found.margin)) < 20 and float(found.covariance[0, 3:, 3:].trace()) > 0.1


def test_maps_that_fit_two_places_have_both_among_what_the_search_ended_in() -> None:
    """The street ahead and the one behind: all maps have two hills."""
    trial = Trial(0, wrong=0.0)
    behind = np.diag([-1.0, 1, -1, 1]) @ trial.T
    other, unseen = likelihood(np.random.default_rng(5), trial.points, behind, wrong=0.3)
    maps = torch.logaddexp(trial.maps, other) - math.log(2)
    found = find_pose(maps, 0.5 * (trial.not_in_view + unseen), trial.points[None], K[None])
    tops = found.tops[0]
    values = score(found.evidence[0], tops[None])[0]
    assert len(tops) <= 2 * TOPS and bool((values.diff() <= 1e-3).all())
    assert all(float(se3.rotation_error_deg(tops, place).min()) < 3 for place in (trial.T, behind))


def test_sharpened_poses_score_no_lower_and_come_nearer() -> None:
    trial = Trial(1)
    beside = np.stack([se3.perturb(trial.T, np.random.default_rng(seed), 4.0, 0.6) for seed in range(6)])
    before = torch.from_numpy(beside).float()
    after, height = sharpen(trial.evidence, before, torch.Generator().manual_seed(0))
    assert bool((height >= score(trial.evidence, before[None])[0]).all())
    assert torch.allclose(height, score(trial.evidence, after[None])[0], rtol=1e-3)
    nearer = [float(np.median(se3.rotation_error_deg(T.double().numpy(), trial.T))) for T in (before, after)]
    assert nearer[1] < 0.6 * nearer[0]
