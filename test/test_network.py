"""The network as a whole: sizes, invariance, gradients, the task, and poses from what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from crossi2p_core.config import load_config
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import Batch, PointPyramid, collate
from crossi2p_core.model.config import SHARED_DIM, NetworkConfig, preset
from crossi2p_core.model.inputs import make_batch
from crossi2p_core.model.network import Matches, Network
from crossi2p_core.solve.from_matches import poses_from_matches
from crossi2p_core.train.matching import MatchingTask, with_wrong_image
from crossi2p_core.train.targets import project_one, targets_of

SMALL = load_config(NetworkConfig, {
    "size": [64, 160],
    "image": {"block": "basic", "layers": [1, 1, 1, 1], "width": 16, "norm": "group", "dim": 32, "fine_dim": 16,
              "fine_stride": 4},
    "points": {"points": 1800, "ratio": 3, "neighbours": 8, "dims": [16, 32, 32], "dynamic_layers": 1, "fine_dim": 16,
               "fine_level": 0},
    "coarse": {"dim": 32, "heads": 2, "layers": 1},
    "fine": {"dim": 32, "heads": 2, "layers": 1, "matches": 40, "points": 4, "window": 6}})


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Two frames of a synthetic street."""
    source = open_source("synthetic:street?seed=2&frames=2&camera=kitti&lidar=hdl64")
    return collate([make_batch(sample, SMALL) for sample in source])


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(SMALL).eval()


@pytest.mark.parametrize(("name", "most"), [("light", 8e6), ("full", 60e6)])
def test_presets_differ_by_their_settings_alone(name: str, most: float) -> None:
    network = Network(preset(name))
    assert sum(each.numel() for each in network.parameters()) < most
    for projector in (network.image_projector, network.point_projector):
        assert projector.layers[-1].out_features == SHARED_DIM == 256


def turned(cloud: PointPyramid, angle: float) -> PointPyramid:
    c, s = math.cos(angle), math.sin(angle)
    R = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return replace(cloud, xyz=tuple(xyz @ R.T for xyz in cloud.xyz))


def test_the_yaw_of_the_scan_changes_nothing(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        a, b = network(batch), network(replace(batch, cloud=turned(batch.cloud, 2.0)))
    apart = (a.scores.similarity - b.scores.similarity).abs()
    assert apart.median() < 1e-3  # of a dynamic graph with ties a few may differ
    torch.testing.assert_close(a.scores.in_view.sigmoid().mean(), b.scores.in_view.sigmoid().mean(), rtol=0, atol=1e-3)


def test_a_pair_does_not_depend_on_its_batch(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        torch.testing.assert_close(network(batch).scores.similarity[:1], network(batch.first(1)).scores.similarity,
                                   rtol=1e-3, atol=1e-3)


def test_without_another_view_only_the_contrast_across_remains(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        torch.manual_seed(1)
        across = MatchingTask(SMALL, view_pairs=0).terms(network, batch, ("alignment",)).losses["alignment"]
        torch.manual_seed(1)
        both = MatchingTask(SMALL, view_pairs=1).terms(network, batch, ("alignment",)).losses["alignment"]
    assert 0 < across < both


def test_every_weight_is_reached_by_the_three_losses(batch: Batch) -> None:
    torch.manual_seed(0)
    network = Network(SMALL)
    terms = MatchingTask(SMALL).terms(network, batch, ("alignment", "correspondence", "pose"))
    assert list(terms.losses) == ["alignment", "correspondence", "pose"]
    assert all(loss.isfinite() for loss in terms.losses.values())
    torch.stack(list(terms.losses.values())).sum().backward()
    missing = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]
    assert not missing
    assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)


def test_it_learns_one_pair_by_heart(batch: Batch) -> None:
    torch.manual_seed(0)
    network, task = Network(SMALL), MatchingTask(SMALL)
    optimizer, losses = torch.optim.AdamW(network.parameters(), lr=3e-3), []
    for _ in range(25):
        terms = task.terms(network, batch, ("alignment", "correspondence"))
        loss = torch.stack(list(terms.losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]


def test_mixed_precision_says_nearly_the_same(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        exact = network(batch).scores.dual_softmax()
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(batch).scores.dual_softmax()
    assert mixed.dtype == torch.float32 and (exact - mixed).abs().sum() < 0.2 * exact.sum()


def test_the_control_gives_every_cloud_another_image(batch: Batch) -> None:
    wrong = with_wrong_image(batch)
    both = batch.inside[0] & batch.inside[1]
    torch.testing.assert_close(wrong.image[0][:, both], batch.image[1][:, both])
    assert torch.equal(wrong.cloud.xyz[0], batch.cloud.xyz[0]) and not torch.equal(wrong.image, batch.image)


def perfect(batch: Batch, said: Matches, pixel_noise: float = 0.0) -> Matches:
    """What a network would say that knows the answer: scores by the overlap, fine matches at the true pixels."""
    targets = targets_of(batch, SMALL.grid)
    similarity = (targets.overlap + 1e-4).log() * 2
    in_view = torch.where(targets.visible, 4.0, -4.0)
    scores = replace(said.scores, similarity=similarity, in_view=in_view)
    superpoint = targets.visible.float().topk(SMALL.fine.matches, dim=1).indices
    points = batch.cloud.xyz[-1].gather(1, superpoint[..., None].expand(-1, -1, 3))[:, :, None]
    assert batch.T_cam_lidar is not None
    pixels = project_one(points[:, :, 0], batch.T_cam_lidar, batch.K)[0][:, :, None]
    pixels = pixels + pixel_noise * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    fine = replace(said.fine, points=points, pixels=pixels, weights=torch.ones_like(pixels),
                   valid=torch.ones_like(pixels[..., 0], dtype=torch.bool))
    return replace(said, scores=scores, fine=fine)


def errors(T: Tensor, truth: Tensor) -> list[tuple[float, float]]:
    return [(float(se3.rotation_error_deg(a, b)), float(se3.translation_error_m(a, b)))
            for a, b in zip(T.double().numpy(), truth.double().numpy(), strict=True)]


def test_true_matches_give_the_true_pose(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        found = poses_from_matches(perfect(batch, network(batch)), batch, SMALL.grid)
    assert batch.T_cam_lidar is not None
    for degrees, metres in errors(found.T, batch.T_cam_lidar):
        assert degrees < 0.05 and metres < 0.02
    assert (found.inliers > 20).all() and (found.error_px < 0.2).all()


def test_the_covariance_of_a_pose_from_matches_covers_its_error(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        found = poses_from_matches(perfect(batch, network(batch), 1.0), batch, SMALL.grid)
    assert batch.T_cam_lidar is not None
    for T, truth, covariance in zip(found.T.double().numpy(), batch.T_cam_lidar.double().numpy(),
                                    found.covariance.double().numpy(), strict=True):
        xi = se3.log_se3(truth @ se3.inverse(T))
        assert xi @ np.linalg.solve(covariance, xi) < 30  # 6 on average; one in 20 000 is above 30


def test_an_untrained_network_answers_with_something_finite(batch: Batch, network: Network) -> None:
    with torch.no_grad():
        found = poses_from_matches(network(batch), batch, SMALL.grid)
    assert found.T.isfinite().all() and found.covariance.isfinite().all()
    for T in found.T.double().numpy():
        se3.check_transform(T, "the pose")
