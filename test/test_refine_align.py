"""Scores, search, judgement and the alignment of real frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.refine import objective
from crossi2p_core.refine.align import align
from crossi2p_core.refine.climb import Bounds, climb, posterior, standing
from crossi2p_core.refine.config import DriveConfig, RefineConfig
from crossi2p_core.refine.expansion import expand, linearise
from crossi2p_core.refine.focus import focused, near_view
from crossi2p_core.refine.image_edges import edge_maps
from crossi2p_core.refine.judge import Evidence, judge
from crossi2p_core.refine.prepare import Prepared, prepare_frame
from crossi2p_core.refine.present import doubt
from crossi2p_core.refine.residuals import measure
from crossi2p_core.refine.uncertainty import _block_sums, combine_with_prior, left_covariance, pose_covariance
from crossi2p_core.refine.working_view import working_view
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Camera, Prior, Sample

CPU = torch.device("cpu")
CONFIG = RefineConfig()
FINE = CONFIG.image.scales_px[:2]


@pytest.fixture(scope="module")
def drive(data_dir: Path) -> list[Sample]:
    """Frames of one KITTI rig."""
    return list(open_source(str(data_dir / "compact" / "kitti_stereo2015"))[0:40:5])


@pytest.fixture(scope="module")
def problem(drive: list[Sample]) -> objective.FrameProblem:
    frame = prepare_frame(drive[0], Prior(drive[0].T_cam_lidar), CONFIG, CPU)
    return objective.seen_from(frame, torch.from_numpy(drive[0].T_cam_lidar))


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_step_is_what_lies_between_where_it_led_and_where_it_began(numbers: list[float]) -> None:
    T = torch.from_numpy(se3.exp_se3(np.array([0.3, -1.2, 0.5, 0.1, 2.0, -0.4])))
    step = torch.tensor([numbers], dtype=torch.float64)
    assert torch.allclose(objective.step_between(T, objective.move(T[None], step)), step, atol=1e-8)


@pytest.mark.parametrize("model", ["none", "plumb_bob", "equidistant"])
def test_the_pixels_derivative_is_that_of_finite_differences(problem: objective.FrameProblem, drive: list[Sample],
                                                             model: str) -> None:
    D = {"none": [], "plumb_bob": [-0.1, 0.05, 0.001, -0.001, 0.0], "equidistant": [-0.05, -0.01, 0.0, 0.0]}[model]
    camera = Camera(problem.camera.K, problem.camera.width, problem.camera.height, model, np.array(D))
    frame = replace(problem, camera=camera, xyz=problem.xyz.double())
    T = torch.from_numpy(drive[0].T_cam_lidar)[None]
    _, valid, jacobian = linearise(frame, T)
    assert valid[0].sum() > 500
    for axis in range(6):
        step = torch.zeros(1, 6, dtype=torch.float64)
        step[0, axis] = 1e-3
        ahead, back = (linearise(frame, objective.move(T, s))[0] for s in (step, -step))
        numeric = (ahead - back) / 2e-3
        error = (numeric - jacobian[..., axis])[valid].norm(dim=-1)
        assert float((error / (1 + numeric[valid].norm(dim=-1))).max()) < 5e-3


def test_expansion_tells_how_the_score_changes(problem: objective.FrameProblem, drive: list[Sample]) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)[None]
    at = expand(problem, T, FINE)
    generator = torch.Generator().manual_seed(0)
    steps = 0.03 * torch.randn(40, 6, generator=generator, dtype=torch.float64)
    truth = expand(problem, objective.move(T.expand(40, 4, 4), steps), FINE).value - at.value
    s = steps.float()
    told = s @ at.gradient[0] + 0.5 * ((s @ at.hessian[0]) * s).sum(-1)
    assert float(torch.corrcoef(torch.stack([truth, told]))[0, 1]) > 0.97
    assert float(at.value) == pytest.approx(float(sum(objective.score(problem, T, k) for k in FINE) / 2), rel=0.05)


@pytest.mark.parametrize("drive_config", [None, CONFIG.drive])
def test_climbing_never_ends_below_its_start(problem: objective.FrameProblem, drive: list[Sample],
                                             drive_config: DriveConfig | None) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)
    generator = torch.Generator().manual_seed(1)
    poses = objective.move(T.expand(6, 4, 4), 0.7 * torch.randn(6, 6, generator=generator, dtype=torch.float64))
    bounds = Bounds(2.0, 2.0, 0.15)
    at = standing(poses, 1)
    before = posterior([problem], T, at, (3.0,), bounds, drive_config).value
    reached, after = climb([problem], T, at, (3.0,), bounds, 5, drive_config)
    assert torch.equal(posterior([problem], T, reached, (3.0,), bounds, drive_config).value, after)
    assert (after >= before - 1e-6).all()
    assert (after > before + 0.1).any()


def test_what_images_do_not_determine_stays_with_the_prior() -> None:
    bounds = Bounds(2.0, 2.0, 0.15)
    step = np.array([1.0, 0.5, -0.5, 1.0, -1.0, 2.0])
    unsure = np.diag([1e6, 1e-8, 1e-8, 1e-8, 1e-8, 1e6])
    agreed, covariance = combine_with_prior(step, unsure, bounds)
    assert agreed == pytest.approx([0, 0.5, -0.5, 1, -1, 0], abs=1e-4)
    assert covariance[0, 0] == pytest.approx((2.0 / 3) ** 2, rel=1e-3)


def test_left_covariance_is_that_of_moved_poses() -> None:
    rng = np.random.default_rng(0)
    T = se3.exp_se3(np.array([1.2, -1.2, 1.2, 0.5, -2.0, 1.0]))
    A = rng.normal(size=(6, 6)) * 0.05
    steps = torch.from_numpy(rng.multivariate_normal(np.zeros(6), A @ A.T, 4000))
    poses = objective.move(torch.from_numpy(T).expand(4000, 4, 4), steps).numpy()
    twists = se3.log_se3(poses @ se3.inverse(T))
    told = left_covariance(A @ A.T, T)
    assert np.linalg.norm(np.cov(twists.T) - told) < 0.1 * np.linalg.norm(told)
    assert np.linalg.norm((np.cov(twists.T) - told)[:3, 3:]) < 0.1 * np.linalg.norm(told[:3, 3:])


GOOD = Evidence(1.0, 4.0, 0.5, 1.0, np.full(6, 0.2), np.diag([0.01] * 3 + [0.03] * 3), (2.0, 2.0))


@pytest.mark.parametrize(("change", "status", "word", "kept"), [
    ({}, "ok", "moved", False),
    ({"response": 0.05}, "failed", "do not fit", True),
    ({"response": 0.2}, "uncertain", "weak", False),
    ({"score_start": 4.5}, "ok", "better than the start", True),
    ({"sides": 0.1}, "uncertain", "upright", False),
    ({"step": np.full(6, 5.0)}, "uncertain", "outside", False),
    ({"covariance": np.diag([1.0] * 3 + [0.03] * 3)}, "uncertain", "rotation", False),
    ({"covariance": np.diag([0.01] * 3 + [0.03, 0.03, 9.0])}, "uncertain", "along the optical axis", False),
])
def test_the_judge_names_what_speaks_against(change: dict, status: str, word: str, kept: bool) -> None:
    verdict = judge(replace(GOOD, **change))
    assert (verdict.status, verdict.keep_start) == (status, kept)
    assert word in verdict.reason


def test_real_frames_are_aligned_from_two_degrees_off(drive: list[Sample]) -> None:
    before, after = [], []
    for index, sample in enumerate(drive):
        start = se3.perturb(sample.T_cam_lidar, np.random.default_rng(index), 2.0, 0.2)
        found = align([sample], Prior(start, 2.0, 0.2), CONFIG, CPU)
        assert found.cost_after <= found.cost_before
        before.append(float(se3.rotation_error_deg(start, sample.T_cam_lidar)))
        after.append(float(se3.rotation_error_deg(found.T_cam_lidar, sample.T_cam_lidar)))
    assert np.median(after) < 0.45 < np.median(before)


def test_frames_together_are_better_than_each_alone(drive: list[Sample]) -> None:
    truth = drive[0].T_cam_lidar
    start = se3.perturb(truth, np.random.default_rng(3), 2.0, 0.2)
    found = align(drive, Prior(start, 2.0, 0.2), CONFIG, CPU)
    assert found.status == "ok", found.reason
    assert float(se3.rotation_error_deg(found.T_cam_lidar, truth)) < 0.25
    assert float(se3.translation_error_m(found.T_cam_lidar, truth)) < 0.06


def test_a_wrong_image_is_never_ok(drive: list[Sample]) -> None:
    statuses = []
    for index, sample in enumerate(drive):
        other = drive[(index + 3) % len(drive)].image[: sample.camera.height, : sample.camera.width]
        if other.shape == sample.image.shape:
            statuses.append(align([replace(sample, image=other)], Prior(sample.T_cam_lidar), CONFIG, CPU).status)
    assert len(statuses) >= 4
    assert "ok" not in statuses


def test_the_same_input_gives_the_same_answer(drive: list[Sample]) -> None:
    prior = Prior(se3.perturb(drive[1].T_cam_lidar, np.random.default_rng(0), 2.0, 0.2))
    first, second = (align([drive[1]], prior, CONFIG, CPU).T_cam_lidar for _ in range(2))
    assert np.array_equal(first, second)


def test_an_answer_does_not_depend_on_what_was_registered_before(drive: list[Sample]) -> None:
    image = np.ascontiguousarray(drive[0].image[100:160, 300:390])
    view = working_view(image, Camera(np.diag([300.0, 300.0, 1.0]), 90, 60), CONFIG.image.focal_px)
    first = [level.table.clone() for level in edge_maps(view, CONFIG.image, CPU)]
    kept = []
    for size in range(1, 60):  # so that arrays come to lie elsewhere in memory
        kept.append(np.ones(16 * size, np.uint8))
        again = edge_maps(view, CONFIG.image, CPU)
        assert all(torch.equal(one, level.table) for one, level in zip(first, again, strict=True))


def test_nobody_knows_whether_a_calibration_is_good_that_sees_nothing(problem: objective.FrameProblem,
                                                                     drive: list[Sample]) -> None:
    behind = torch.from_numpy(se3.make(np.diag([-1.0, 1.0, -1.0]), np.zeros(3)) @ drive[0].T_cam_lidar)
    assert np.isnan(doubt([objective.seen_from(problem, behind)], behind, FINE[0], 0))


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=device):
        Registrar(device=device)


def test_frames_of_different_rigs_are_not_mixed(drive: list[Sample]) -> None:
    with pytest.raises(InputError, match="different rigs"):
        Registrar(device="cpu", weights="none").register_joint([drive[0], replace(drive[1], rig="another")])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_gpu_gives_the_answer_of_the_cpu(drive: list[Sample]) -> None:
    prior = Prior(se3.perturb(drive[0].T_cam_lidar, np.random.default_rng(0), 1.0, 0.1), 1.0, 0.1)
    a, b = (Registrar(device=d).register(drive[0], prior).T_cam_lidar for d in ("cpu", "cuda"))
    assert float(se3.rotation_error_deg(a, b)) < 0.03


def test_doubt_tells_a_wrong_calibration_from_a_right_one(drive: list[Sample]) -> None:
    right, wrong = [], []
    for sample in drive:
        frame = prepare_frame(sample, Prior(sample.T_cam_lidar, 1.0, 0.1), CONFIG, CPU)
        T = torch.from_numpy(sample.T_cam_lidar)
        moved = objective.move(T[None], torch.tensor([[0.3, -0.4, 0.2, 0.3, 0.3, 0.2]], dtype=torch.float64))[0]
        for poses, values in ((T, right), (moved, wrong)):
            values.append(doubt([objective.seen_from(frame, poses)], poses, FINE[0], 0))
    assert np.median(right) < 0.04
    assert np.median(wrong) > 3 * np.median(right) + 0.05


def test_residuals_grow_in_pixels_as_the_pose_turns_away(problem: objective.FrameProblem, drive: list[Sample]) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)
    turned = objective.move(T[None], torch.tensor([[0.0, 0.3, 0, 0, 0, 0]], dtype=torch.float64))[0]  # 3.8 px
    here, there = (measure([objective.seen_from(problem, pose)], pose, drive[0].camera) for pose in (T, turned))
    assert here.edges > here.found > 0.5 * here.edges
    assert here.median_px < there.median_px < 8


def test_an_exact_world_is_registered_exactly_enough() -> None:
    sample = open_source("synthetic:street?seed=1&frames=1")[0]
    off = torch.tensor([[0.5, -0.4, 0.3, 0.4, -0.3, 0.4]], dtype=torch.float64)  # 0.7 deg, 6 cm
    start = objective.move(torch.from_numpy(sample.T_cam_lidar)[None], off)[0].numpy()
    found = align([sample], Prior(start, 1.0, 0.1), CONFIG, CPU)
    assert float(se3.rotation_error_deg(found.T_cam_lidar, sample.T_cam_lidar)) < 0.35
    assert found.cost_after < found.cost_before


def test_edges_in_a_corner_of_the_image_are_told_apart_all_the_same(problem: objective.FrameProblem,
                                                                    drive: list[Sample]) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)
    uv, valid, _ = linearise(problem, T[None])
    width, height = problem.camera.width, problem.camera.height
    corner = valid[0] & (uv[0, :, 0] < width / 2) & (uv[0, :, 0] > 3 * width / 8) & (uv[0, :, 1] > height / 3)
    strays = torch.nonzero(valid[0])[::200, 0]
    few = replace(problem, xyz=torch.cat([problem.xyz[corner]] * 5 + [problem.xyz[strays]]))
    sums = _block_sums(few, T, torch.ones(len(few.xyz), 6))
    assert len(strays) > 5 and float(sums[:, 0].sum()) == len(few.xyz)
    assert int((sums[:, 0] > 20).sum()) > 12  # of 24 blocks; of those of the whole image it is in two
    spread = _block_sums(problem, T, torch.ones(len(problem.xyz), 6))[:, 0]
    columns = (uv[0, valid[0], 0] * 8 / width).long().clamp(0, 7)
    assert torch.equal(spread.reshape(3, 8).sum(0).long(), torch.bincount(columns, minlength=8))


def test_rows_far_apart_make_an_answer_less_sure(problem: objective.FrameProblem, drive: list[Sample]) -> None:
    cloud = drive[0].cloud
    elevation = np.degrees(np.arctan2(cloud.xyz[:, 2], np.linalg.norm(cloud.xyz[:, :2], axis=1)))
    sparse = replace(drive[0], cloud=cloud.select(np.abs(elevation % 2.0 - 1.0) < 0.1))  # as of 16 beams
    assert problem.raster == 0
    assert prepare_frame(sparse, Prior(sparse.T_cam_lidar), CONFIG, CPU).raster == pytest.approx(0.36 * 1.5, abs=0.08)
    sigma = [np.sqrt(np.diag(pose_covariance([replace(problem, raster=raster)], standing(
        torch.from_numpy(drive[0].T_cam_lidar)[None], 1), FINE, torch.ones(6), None))) for raster in (0.0, 0.3)]
    assert np.hypot(sigma[0], 0.3) == pytest.approx(sigma[1])


def test_of_a_wide_search_a_pose_is_judged_by_the_edges_that_it_sees(drive: list[Sample]) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)
    wide = prepare_frame(drive[0], Prior(drive[0].T_cam_lidar, 10.0, 0.5), CONFIG, CPU)
    near = focused(wide, T, CONFIG)
    inside = near_view(near.xyz.numpy(), near.camera, T.numpy(), *CONFIG.search.focus)
    assert inside.all() and len(near.xyz) < len(wide.found)
    assert objective.weight_in_view(near, T) > 1.1 * objective.weight_in_view(objective.seen_from(wide, T), T)


def test_a_pose_that_sees_no_edge_scores_nothing_and_leads_nowhere(drive: list[Sample]) -> None:
    T = torch.from_numpy(drive[0].T_cam_lidar)
    up = objective.move(T[None], torch.tensor([[-90.0, 0, 0, 0, 0, 0]]))[0]  # from ahead to the sky
    blind = focused(prepare_frame(drive[0], Prior(drive[0].T_cam_lidar), CONFIG, CPU), up, CONFIG)
    assert not len(blind.xyz) and objective.score(blind, T[None], FINE[0]).tolist() == [0.0]
    at, values = climb([blind], T, standing(T[None], 1), FINE, Bounds(2.0, 2.0, 0.15), 10)
    assert torch.allclose(at.T[0], T) and values.tolist() == [0.0]


@pytest.mark.parametrize(("share", "status"), [(0.97, "ok"), (0.4, "uncertain")])
def test_an_answer_that_a_prior_pulls_to_where_little_fits_is_not_ok(
        drive: list[Sample], monkeypatch: pytest.MonkeyPatch, share: float, status: str) -> None:
    monkeypatch.setattr("crossi2p_core.refine.align.combine_with_prior",
                        lambda step, covariance, bounds: (share * step, 0.01 * np.eye(6)))
    T = drive[0].T_cam_lidar
    start = se3.make(se3.exp_so3(np.radians([0.0, 1.0, 0.0])), np.zeros(3)) @ T
    answer = align([drive[0]], Prior(start, 1.2, 0.05), CONFIG, CPU)
    assert answer.evidence is not None and answer.evidence.score_found > answer.evidence.score_start
    assert answer.status == status


def test_a_mean_of_rivals_that_is_pulled_to_where_little_fits_gives_way_to_the_best(
        drive: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter((0.4, 0.97))  # of the mean, of the best
    monkeypatch.setattr("crossi2p_core.refine.align.combine_with_prior",
                        lambda step, covariance, bounds: (next(shares) * step, 0.01 * np.eye(6)))
    T = drive[0].T_cam_lidar
    start = se3.make(se3.exp_so3(np.radians([0.0, 1.0, 0.0])), np.zeros(3)) @ T
    answer = align([drive[0]], Prior(start, 1.2, 0.05), CONFIG, CPU)
    assert answer.status == "ok" and se3.rotation_error_deg(answer.T_cam_lidar, start) > 0.8


@pytest.mark.parametrize(("max_deg", "max_m", "raster", "asked"), [
    (4.0, 0.2, 0.0, False), (4.0, 0.2, 0.2, True), (1.0, 0.2, 0.0, True), (4.0, 0.05, 0.0, True)])
def test_a_wide_prior_has_a_say_beside_sparse_scans_alone(drive: list[Sample], monkeypatch: pytest.MonkeyPatch,
                                                         max_deg: float, max_m: float, raster: float,
                                                         asked: bool) -> None:
    calls = []
    monkeypatch.setattr("crossi2p_core.refine.align.combine_with_prior",
                        lambda step, covariance, bounds: calls.append(bounds) or (step, covariance))
    monkeypatch.setattr("crossi2p_core.refine.prepare._raster", lambda spacing, merged: raster)
    align([drive[0]], Prior(drive[0].T_cam_lidar, max_deg, max_m), CONFIG, CPU)
    assert bool(calls) == asked


def test_frames_that_are_aligned_in_different_company_are_prepared_once(drive: list[Sample]) -> None:
    prior = Prior(drive[0].T_cam_lidar, 0.5, 0.05)
    dark = replace(drive[0], name="dark", image=np.zeros_like(drive[0].image))
    prepared = Prepared(prior)
    frames = [drive[0], drive[1], dark]
    together = align(frames, prior, CONFIG, CPU, prepared)
    assert "dark" in together.reason
    kept = [prepared.frame(sample, CONFIG, CPU) for sample in frames]
    without = align([drive[1], dark], prior, CONFIG, CPU, prepared)
    assert all(prepared.frame(sample, CONFIG, CPU) is one for sample, one in zip(frames, kept, strict=True))
    anew = align([drive[1], dark], prior, CONFIG, CPU)
    np.testing.assert_allclose(without.T_cam_lidar, anew.T_cam_lidar, atol=1e-4)
    assert without.reason == anew.reason


def test_a_step_beyond_the_bounds_in_metres_alone_is_outside() -> None:
    verdict = judge(replace(GOOD, step=np.array([0, 0, 0, 5.0, 0, 0])))
    assert verdict.status == "uncertain" and "outside" in verdict.reason


def test_upright_edges_are_needed_to_convince() -> None:
    assert GOOD.convincing and not replace(GOOD, sides=0.5).convincing and not replace(GOOD, response=0.3).convincing
