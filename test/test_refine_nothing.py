"""Frames that show little or nothing, and priors that are none: what is said of them, and that they end nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.refine.align import align
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.refine.image_edges import why_blind
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Camera, PointCloud, Prior, Sample

CPU = torch.device("cpu")
CONFIG = RefineConfig()


def plain_sample(image: np.ndarray, xyz: np.ndarray, T: np.ndarray | None = None) -> Sample:
    height, width = image.shape[:2]
    camera = Camera(np.array([[300.0, 0, width / 2], [0, 300, height / 2], [0, 0, 1]]), width, height)
    return Sample("made", image, camera, PointCloud.from_arrays(xyz), np.eye(4) if T is None else T)


NOISE = np.random.default_rng(0).integers(0, 255, (240, 400, 3)).astype(np.uint8)
SCATTER = np.random.default_rng(1).uniform((-5, -2, 3), (5, 2, 20), (5000, 3))


def test_what_fits_no_better_than_chance_is_as_unsure_as_its_prior() -> None:
    T = se3.exp_se3(np.array([0.01, 0.02, 0.0, 0.1, 0.0, 0.0]))
    found = align([plain_sample(NOISE, SCATTER)], Prior(T, 1.0, 0.1), CONFIG, CPU)
    assert found.status == "failed" and found.evidence is not None
    assert np.allclose(found.covariance, np.diag([np.radians(1.0) ** 2] * 3 + [0.1**2] * 3))


def test_two_points_far_out_are_a_frame_that_fails() -> None:
    far = np.concatenate([SCATTER * 0.3, [[9e4, 9e4, 9e4], [-9e4, -9e4, -9e4]]])
    found = Registrar(device="cpu", weights="none").register(plain_sample(NOISE, far), Prior(np.eye(4), 1.0, 0.1))
    assert found.status == "failed" and "voxels" in found.reason


def test_a_strip_is_looked_at_without_filling_the_memory() -> None:
    assert why_blind(np.full((200_000, 1, 3), 130, np.uint8), CONFIG.image)


@pytest.mark.parametrize(("image", "xyz", "word"), [
    (NOISE // 64, SCATTER, "dark"),
    (np.full_like(NOISE, 130), SCATTER, "flat"),
    (NOISE, SCATTER[:3], "3 usable points"),
    (NOISE, np.zeros((0, 3)), "0 usable points"),
    (NOISE, SCATTER * (1, 1, -1), "0 points"),
])
def test_a_frame_that_says_nothing_hands_its_prior_on(image: np.ndarray, xyz: np.ndarray, word: str) -> None:
    T = se3.exp_se3(np.array([0.01, 0.02, 0.0, 0.1, 0.0, 0.0]))
    found = Registrar(device="cpu", weights="none").register(plain_sample(image, xyz), Prior(T, 1.0, 0.1))
    assert found.status == "failed"
    assert word in found.reason
    assert np.allclose(found.T_cam_lidar, T, atol=1e-12)
    assert np.isfinite(found.covariance).all()


@pytest.mark.parametrize(("prior", "word"), [
    (np.diag([1.0, 1, -1, 1]), "rotation"), (np.full((4, 4), np.nan), "NaN"), (Prior(np.eye(4), -1.0, 0.1), "bounds")])
def test_a_prior_that_is_no_motion_is_refused(prior: np.ndarray | Prior, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Registrar(device="cpu", weights="none").register(plain_sample(NOISE, SCATTER), prior)


def test_no_truth_and_no_prior_is_refused_in_words() -> None:
    sample = replace(plain_sample(NOISE, SCATTER), T_cam_lidar=None)
    with pytest.raises(InputError, match="nobody knows where to start"):
        Registrar(device="cpu", weights="none").register(sample)
