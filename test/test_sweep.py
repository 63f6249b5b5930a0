"""A camera that stands apart from its LiDAR: edges about all that a network thinks of find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from crossi2p_core import audition
from crossi2p_core.audition import find_anywhere
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.headings import all_around
from crossi2p_core.matcher import Estimate
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.sweep import _about, sweep
from crossi2p_core.types import Sample

CPU, CONFIG = torch.device("cpu"), RefineConfig()


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Its camera stands metres away from the LiDAR."""
    found = open_source("synthetic:yard?seed=6&frames=1&camera=kitti&lidar=hdl64&elsewhere=8")[0]
    assert np.linalg.norm(se3.inverse(np.asarray(found.T_cam_lidar))[:3, 3]) > 2.0
    return found


@pytest.fixture(scope="module")
def guesses(sample: Sample) -> np.ndarray:
    """(12, 4, 4): one of them, the fifth, is about right, for a network that likes all of them alike."""
    rng, truth = np.random.default_rng(0), np.asarray(sample.T_cam_lidar)
    wrong = [se3.perturb(truth, rng, 90.0, 6.0) for _ in range(11)]
    return np.array([*wrong[:4], se3.perturb(truth, np.random.default_rng(2), 3.0, 0.5), *wrong[4:]])


def says_nothing(poses: np.ndarray) -> np.ndarray:
    return np.zeros(len(poses))


def prefers(T: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A network that insists on a pose (4, 4), the more the nearer."""
    return lambda poses: 1e3 * np.exp(-se3.rotation_error_deg(poses, T) / 10.0)


def test_the_guess_whose_surroundings_fit_is_found_among_wrong_ones(sample: Sample, guesses: np.ndarray) -> None:
    found = sweep(guesses, says_nothing, [sample], CONFIG, CPU, 3)
    assert len(found) == 3
    assert se3.rotation_error_deg(found[0], sample.T_cam_lidar) < 1.0
    assert se3.translation_error_m(found[0], sample.T_cam_lidar) < 0.2


@pytest.mark.parametrize("followed", [1, 12])
def test_the_network_has_a_say_in_what_is_followed_and_in_what_is_best(
        sample: Sample, guesses: np.ndarray, monkeypatch: pytest.MonkeyPatch, followed: int) -> None:
    monkeypatch.setattr("crossi2p_core.sweep.FOLLOWED", followed)
    found = sweep(guesses, prefers(guesses[7]), [sample], CONFIG, CPU, 3)[0]
    assert se3.rotation_error_deg(found, guesses[7]) < 15.0  # about the one that the network insists on


def test_a_camera_that_is_moved_about_looks_at_the_same_from_elsewhere() -> None:
    T = torch.from_numpy(se3.perturb(np.eye(4), np.random.default_rng(3), 170.0, 5.0))
    steps = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps[:, :3] = 0.0
    moved = _about(T, 12.0, steps)
    middle = se3.transform(se3.inverse(T), torch.tensor([[0.0, 0.0, 12.0]], dtype=torch.float64))
    seen = torch.stack([se3.transform(each, middle)[0] for each in moved])
    torch.testing.assert_close(seen[:, :2], torch.zeros(50, 2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert (seen[:, 2] > 0).all()
    torch.testing.assert_close(se3.inverse(moved)[:, :3, 3] - se3.inverse(T)[:3, 3], steps[:, 3:])
    steps[:, :3] = 0.02  # rad about each axis of the camera
    turned = se3.rotation_error_deg(_about(T, 12.0, steps), moved)
    torch.testing.assert_close(turned, torch.full_like(turned, np.degrees(0.02 * 3**0.5)), atol=1e-6, rtol=0)


def test_a_guess_that_is_metres_off_leads_to_the_camera(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.asarray(sample.T_cam_lidar)
    off = se3.make(truth[:3, :3], truth[:3, :3] @ -(se3.inverse(truth)[:3, 3] + np.array([1.5, 0.0, 0.0])))
    found = sweep(off[None], says_nothing, [sample], CONFIG, CPU, 3)
    assert min(se3.translation_error_m(each, truth) for each in found) < 0.3
    monkeypatch.setattr("crossi2p_core.sweep.FAR", (2.5, (0.2, 0.2, 0.2)))
    found = sweep(off[None], says_nothing, [sample], CONFIG, CPU, 3)
    assert not found or min(se3.translation_error_m(each, truth) for each in found) > 0.3  # by small steps it does not


def test_what_shows_nothing_and_clouds_that_were_joined_are_not_swept(sample: Sample, guesses: np.ndarray) -> None:
    dark = replace(sample, image=np.zeros_like(sample.image))
    apart = sample.cloud.xyz + np.array([-6.0, 0.3, 0.2], np.float32)
    joined = replace(sample, cloud=replace(sample.cloud, xyz=np.concatenate([sample.cloud.xyz, apart]), intensity=None,
                                           ring=None, time=None))
    for one in (dark, joined):
        assert sweep(guesses, says_nothing, [one], CONFIG, CPU, 3) == []
    assert sweep(guesses[:0], says_nothing, [sample], CONFIG, CPU, 3) == []


def test_a_sweep_that_nobody_wants_any_more_ends(sample: Sample, guesses: np.ndarray) -> None:
    def enough() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sweep(guesses, says_nothing, [sample], CONFIG, CPU, 3, enough)


@pytest.mark.parametrize("only_top", [False, True])
def test_from_no_guess_a_camera_apart_is_found_by_one_frame(sample: Sample, guesses: np.ndarray, only_top: bool,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[:1])
    tops, others = (guesses[4:5], np.delete(guesses, 4, axis=0)) if only_top else (guesses[:1], guesses)
    said = Estimate(guesses[0], np.eye(6), 0.0, 0, 0, float("nan"), {}, tops=tops, guesses=others)
    found = find_anywhere([sample], said, CONFIG, CPU)
    assert se3.rotation_error_deg(found.prior.T_cam_lidar, sample.T_cam_lidar) < 1.0
    assert se3.translation_error_m(found.prior.T_cam_lidar, sample.T_cam_lidar) < 0.2


def test_from_no_guess_a_place_apart_is_taken_by_what_the_network_says_of_it(
        sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that the sweep has found, of which the edges prefer the right one, and the network the other."""
    truth = np.asarray(sample.T_cam_lidar)
    wrong = se3.perturb(truth, np.random.default_rng(5), 40.0, 3.0)
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[:1])
    monkeypatch.setattr(audition, "sweep", lambda *_: [truth, wrong])
    said = Estimate(wrong, np.eye(6), 0.0, 0, 0, float("nan"), {},
                    log_odds=lambda poses: 4e3 * (se3.rotation_error_deg(poses, wrong) < 10.0))
    found = find_anywhere([sample], said, CONFIG, CPU)
    assert se3.rotation_error_deg(found.prior.T_cam_lidar, wrong) < 10.0
