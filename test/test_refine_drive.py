"""The vehicle's own motion during a scan: how it bends a cloud, and that the alignment finds and undoes it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.refine import drive as driving
from crossi2p_core.refine import objective
from crossi2p_core.refine.align import align
from crossi2p_core.refine.climb import Bounds, climb, posterior, standing
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.refine.drive import Drive, scan_phase
from crossi2p_core.refine.expansion import Motion, linearise
from crossi2p_core.refine.prepare import prepare_frame
from crossi2p_core.types import Prior, Sample

CPU = torch.device("cpu")
CONFIG = RefineConfig()
FINE = CONFIG.image.scales_px[:2]
FORWARD = np.array([1.0, 0.0, 0.0])


def bent(sample: Sample, speed: float, delay: float = 0.0) -> Sample:
    """The sample as a LiDAR would have scanned it from a vehicle that drives ahead, the image exposed `delay` late."""
    forward = sample.T_cam_lidar[2, :3]
    late = scan_phase(sample.cloud.xyz, forward) - delay
    return replace(sample, cloud=replace(sample.cloud, xyz=(sample.cloud.xyz - speed * late[:, None] * forward).astype(
        np.float32)))


@pytest.fixture(scope="module")
def street() -> list[Sample]:
    return list(open_source("synthetic:street?seed=5&frames=4&camera=kitti"))


@pytest.fixture(scope="module")
def problem(street: list[Sample]) -> objective.FrameProblem:
    frame = prepare_frame(street[0], Prior(street[0].T_cam_lidar), CONFIG, CPU)
    return objective.seen_from(frame, torch.from_numpy(street[0].T_cam_lidar))


def test_left_is_scanned_before_right_and_a_revolution_takes_a_tenth_of_a_second() -> None:
    xyz = np.array([[5.0, 5, 0], [5, 0, 1], [5, -5, 0], [0, 5, 0]])
    assert scan_phase(xyz, FORWARD) == pytest.approx([-0.0125, 0, 0.0125, -0.025], abs=1e-7)
    assert scan_phase(xyz, np.array([0.0, 1.0, 0.0])) == pytest.approx([0.0125, 0.025, 0.0375, 0], abs=1e-7)


@given(st.floats(-5, 30), st.floats(-0.02, 0.02))
@settings(max_examples=20, deadline=None)
def test_driving_bends_a_cloud_and_is_undone(problem: objective.FrameProblem, street: list[Sample], speed: float,
                                             delay: float) -> None:
    moved = replace(problem, cloud=bent(replace(street[0], cloud=problem.cloud), speed, delay).cloud)
    back = objective.driven(moved, torch.tensor(speed), torch.tensor(delay))
    # phases are those of the bent points; they turn by centimetres only
    assert np.abs(back.cloud.xyz - problem.cloud.xyz).max() < 0.02 + 0.001 * speed**2


def test_pixels_follow_speed_and_delay_as_finite_differences_say(problem: objective.FrameProblem,
                                                                 street: list[Sample]) -> None:
    frame = replace(problem, xyz=problem.xyz.double(), phase=problem.phase.double(), forward=problem.forward.double())
    T = torch.from_numpy(street[0].T_cam_lidar)[None]
    speed, delay = torch.tensor([9.0], dtype=torch.float64), torch.tensor([0.003], dtype=torch.float64)
    _, valid, jacobian = linearise(frame, T, Motion(speed, delay, True))
    assert jacobian.shape[-1] == 8
    assert valid.sum() > 500
    for column, (ds, dd) in {6: (0.0, 1e-4), 7: (1e-2, 0.0)}.items():
        ahead, back = (linearise(frame, T, Motion(speed + sign * ds, delay + sign * dd, True))[0]
                       for sign in (1, -1))
        unit = driving.DELAY_UNIT / 1e-4 if dd else driving.SPEED_UNIT / 1e-2
        numeric = 0.5 * unit * (ahead - back)
        assert float((numeric - jacobian[..., column])[valid].norm(dim=-1).max()) < 1e-3 * float(numeric[valid].max())


def test_the_posteriors_slope_is_that_of_finite_differences(problem: objective.FrameProblem,
                                                            street: list[Sample]) -> None:
    T = torch.from_numpy(street[0].T_cam_lidar)
    frames, bounds = [problem] * 3, Bounds(1.0, 1.0, 0.15)
    at = standing(T[None], 3)
    at = replace(at, drive=Drive(at.drive.speed + torch.tensor([2.0, 6.0, 12.0]), at.drive.delay + 0.002))
    here = posterior(frames, T, at, (6.0,), bounds, CONFIG.drive)
    assert here.gradient.shape == (1, 10)
    numeric = torch.zeros(10, dtype=torch.float64)
    for unknown in range(10):
        step = torch.zeros(1, 10, dtype=torch.float64)
        step[0, unknown] = 0.05
        ahead, back = (posterior(frames, T, at.moved(s), (6.0,), bounds, CONFIG.drive).value for s in (step, -step))
        numeric[unknown] = (ahead - back)[0] / 0.1
    assert torch.corrcoef(torch.stack([numeric, here.gradient[0]]))[0, 1] > 0.95


def test_backward_costs_more_than_ahead_and_the_penalty_has_its_derivatives() -> None:
    ahead, back = (Drive(torch.tensor([[v, v, v]], dtype=torch.float64), torch.tensor([0.004], dtype=torch.float64))
                   for v in (3.0, -3.0))
    costs = [float(driving.penalty(d, CONFIG.drive)[0]) for d in (ahead, back)]
    assert costs[1] > 10 * costs[0]
    value, gradient, _ = driving.penalty(ahead, CONFIG.drive)
    step = 1e-4 * torch.ones(1, 4, dtype=torch.float64)
    assert float(driving.penalty(driving.advance(ahead, step), CONFIG.drive)[0] - value) == pytest.approx(
        1e-4 * float(gradient.sum()), rel=1e-3)


def test_the_speed_of_a_bent_cloud_is_found(problem: objective.FrameProblem, street: list[Sample]) -> None:
    found = []
    for speed in (0.0, 12.0):
        sample = bent(street[0], speed)
        T = torch.from_numpy(sample.T_cam_lidar)
        frame = objective.seen_from(prepare_frame(sample, Prior(sample.T_cam_lidar), CONFIG, CPU), T)
        at, _ = climb([frame], T, standing(T[None], 1), FINE, Bounds(0.5, 0.5, 50.0), 12, CONFIG.drive)
        found.append(float(at.drive.speed))
    assert found[0] == pytest.approx(0.0, abs=3.0)
    assert found[1] == pytest.approx(12.0, abs=4.0)


def test_an_answer_that_knows_of_the_drive_is_hardly_moved_by_it(street: list[Sample]) -> None:
    """How far sideways the same frames lead the alignment astray once their clouds are bent."""
    frames = [bent(sample, speed, 0.003) for sample, speed in zip(street, (14.0, 10.0, 16.0, 12.0), strict=True)]
    start = se3.perturb(street[0].T_cam_lidar, np.random.default_rng(1), 0.5, 0.05)
    astray = []
    for config in (CONFIG, replace(CONFIG, drive=replace(CONFIG.drive, enabled=False))):
        straight, moved = (align(f, Prior(start, 0.5, 0.05), config, CPU).T_cam_lidar for f in (street, frames))
        astray.append(abs((moved - straight)[0, 3]))
    assert astray[0] < 0.5 * astray[1]
    assert astray[1] > 0.01  # m: worth the trouble
