"""Poses from flow: what an answer that is right leads to, alone and from several frames, and what it is learned by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_flow_network import TINY

from crossi2p_core.config import load_config
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import collate
from crossi2p_core.model.flow_inputs import make_flow_batch
from crossi2p_core.model.flow_network import Flow, FlowNetwork
from crossi2p_core.solve.from_flow import approach, draw, fit, flow_matches, support
from crossi2p_core.train.config import StartsConfig, TrainConfig
from crossi2p_core.train.flow_task import (
    FARTHEST_PX,
    FlowTask,
    draw_starts,
    flow_loss,
    flow_truth,
    own_starts,
    shift_loss,
)
from crossi2p_core.train.gradnorm import GradNorm
from crossi2p_core.train.matching import with_wrong_image

STARTS = StartsConfig(deg=5.0, m=0.4, per_pair=2)


@pytest.fixture(scope="module")
def batch():
    source = open_source("synthetic:street?seed=3&frames=2&camera=kitti&lidar=hdl64")
    return collate([make_flow_batch(sample, TINY) for sample in source])


class Oracle:
    """Says what is true, as a network that has learned everything would."""

    def __init__(self, batch, outliers: float = 0.0) -> None:
        self.batch, self.outliers = batch, outliers

    def image_encoder(self, image):
        return None

    def compare(self, seen, picture):
        truth, usable = flow_truth(self.drawn, self.batch)
        wrong = torch.rand(usable.shape, generator=torch.Generator().manual_seed(0)) < self.outliers
        truth = torch.where(wrong[..., None], truth + 20.0, truth)
        log_scale = torch.where(usable, -1.0, 4.0)[..., None].expand_as(truth)
        maps = [part.transpose(1, 2).unflatten(2, (16, 24)) for part in (truth, log_scale)]
        return Flow(*maps, torch.zeros(1), torch.zeros(1))


def watched(monkeypatch, oracle):
    """Lets the oracle see what is drawn, which the network sees as a picture."""
    def seen(batch, T):
        oracle.drawn = draw(batch, T)
        return oracle.drawn
    monkeypatch.setattr("crossi2p_core.solve.from_flow.draw", seen)


@pytest.mark.parametrize("outliers", [0.0, 0.2])
def test_right_answers_lead_to_the_truth(batch, monkeypatch, outliers: float) -> None:
    torch.manual_seed(0)
    oracle = Oracle(batch, outliers)
    watched(monkeypatch, oracle)
    start = draw_starts(batch, StartsConfig(5.0, 0.4, per_pair=1))
    found, matches = approach(oracle, batch, start)
    for T, truth in zip(found.T, batch.T_cam_lidar, strict=True):
        assert se3.rotation_error_deg(T.numpy(), truth.numpy()) < 0.05 + outliers
        assert se3.translation_error_m(T.numpy(), truth.numpy()) < 0.02 + outliers / 2
    count, agree, error = support(matches, batch.K, found.T)
    assert (agree > (0.9 - outliers) * count).all() and (error < 0.5).all()


def test_several_frames_share_one_pose(monkeypatch) -> None:
    source = open_source("synthetic:street?seed=3&frames=3&camera=kitti&lidar=hdl64")
    batch = collate([make_flow_batch(sample, TINY) for sample in source])
    oracle = Oracle(batch)
    watched(monkeypatch, oracle)
    truth = batch.T_cam_lidar[:1]
    start = draw_starts(batch.first(1), StartsConfig(5.0, 0.4, per_pair=1), torch.Generator().manual_seed(1))
    found, matches = approach(oracle, batch, start, joint=True)
    assert found.T.shape == (1, 4, 4) and matches.points.shape[1] == 3 * 16 * 24
    assert se3.rotation_error_deg(found.T[0].numpy(), truth[0].numpy()) < 0.05


def test_what_is_off_is_what_two_projections_differ_by(batch) -> None:
    torch.manual_seed(3)
    drawn = draw(batch, draw_starts(batch, STARTS))
    truth, usable = flow_truth(drawn, batch)
    assert truth.shape == (4, 16 * 24, 2) and usable.any(dim=1).all()
    pair, cell = 3, int(usable[3].nonzero()[5])
    point = int(drawn.raster.point[pair, cell])
    T, K = batch.T_cam_lidar[1].double(), batch.K[1].double()
    q = K @ (T[:3, :3] @ batch.cloud.xyz[0][1, point].double() + T[:3, 3])
    expected = q[:2] / q[2] - drawn.pixels[pair, point]
    assert torch.allclose(truth[pair, cell].double(), expected.double(), atol=1e-2)
    assert truth[usable].norm(dim=-1).max() < FARTHEST_PX


def test_starts_are_as_far_off_as_was_asked(batch) -> None:
    torch.manual_seed(4)
    starts = draw_starts(batch, StartsConfig(5.0, 0.4, per_pair=500))
    truth = batch.T_cam_lidar.repeat_interleave(500, dim=0)
    turn = np.degrees(se3.rotation_angle(starts[:, :3, :3].double() @ truth[:, :3, :3].double().mT).numpy())
    shift = se3.transform(starts.double(), se3.inverse(truth.double())[:, :3, 3][:, None])[:, 0].norm(dim=-1).numpy()
    assert 4.0 < turn.max() <= 5.001 and turn.min() >= 0.09
    assert shift.max() <= 0.401 and np.median(shift) < 0.1  # even in the logarithm


def test_the_losses_are_least_at_the_truth(batch) -> None:
    torch.manual_seed(5)
    drawn = draw(batch, draw_starts(batch, StartsConfig(1.0, 0.1, per_pair=2)))
    truth, usable = flow_truth(drawn, batch)

    def said(off: float) -> Flow:
        told = (truth + off).transpose(1, 2).unflatten(2, (16, 24))
        shifts = torch.zeros(4, 25, 8, 12), torch.zeros(4, 9, 16, 24)
        return Flow(told, torch.zeros_like(told), *shifts)

    assert flow_loss(said(0.0), truth, usable) < 1e-5
    assert flow_loss(said(1.0), truth, usable) == pytest.approx(2.0, abs=1e-4)
    unsure = replace(said(1.0), log_scale=torch.full((4, 2, 16, 24), 2.0))
    assert flow_loss(unsure, truth, usable) == pytest.approx(2 * (math.exp(-2.0) + 2.0), abs=1e-4)
    still = torch.zeros_like(truth)
    flow = said(0.0)
    flow.coarse[:, 12], flow.fine[:, 4] = 9.0, 9.0  # the middle: no shift at all
    assert shift_loss(flow, still, usable) < 0.05
    assert shift_loss(flow, still + 8.0, usable) > 4.0  # one coarse cell down and to the right
    aside, right = still + torch.tensor([8.0, 0.0]), said(0.0)
    right.coarse[:, 13] = 9.0  # one coarse cell to the right, none down; the finer reach no farther than one of theirs
    assert shift_loss(right, aside, usable) < 0.05 < 4.0 < shift_loss(right, aside.flip(-1), usable)
    assert shift_loss(said(0.0), still, usable) == pytest.approx(math.log(25) + math.log(9), abs=1e-4)


def test_a_scan_that_is_not_in_the_image_is_refused_in_words() -> None:
    sample = open_source("synthetic:street?seed=3&frames=1&camera=kitti&lidar=hdl64")[0]
    away = se3.make(se3.exp_so3(np.array([-np.pi / 2, 0, 0])), np.zeros(3)) @ sample.T_cam_lidar
    with pytest.raises(InputError, match="points of the scan lie in the image"):
        make_flow_batch(sample, TINY, away)


def test_few_points_are_repeated_and_not_drawn_twice() -> None:
    sample = open_source("synthetic:street?seed=3&frames=1&camera=kitti&lidar=vlp16")[0]
    few = make_flow_batch(sample, replace(TINY, points=50_000))
    valid = few.cloud.valid[0][0]
    assert 50 < int(valid.sum()) < 50_000 and few.cloud.xyz[0].shape == (1, 50_000, 3)
    assert bool(valid[:int(valid.sum())].all())


def test_gradnorm_which_would_switch_one_of_the_losses_off_is_refused() -> None:
    with pytest.raises(InputError, match=r"GradNorm cannot balance .* write gradnorm: \{mode: off\}"):
        load_config(TrainConfig, {"task": "flow"})
    settings = load_config(TrainConfig, {"task": "flow", "gradnorm": {"mode": "off"}})
    assert GradNorm(settings.gradnorm, FlowTask.loss_names).weights_at(0) == {"flow": 1.0, "shift": 1.0}


def test_each_pair_is_judged_from_a_start_of_its_own_whatever_the_batch() -> None:
    source = open_source("synthetic:street?seed=3&frames=4&camera=kitti&lidar=vlp16")
    pairs = [make_flow_batch(sample, TINY) for sample in source]
    off = [torch.cat([own_starts(collate(pairs[first:first + size]), STARTS) for first in range(0, 4, size)])
           for size in (1, 2, 4)]
    assert off[0].shape == (4, 4, 4) and torch.equal(off[0], off[1]) and torch.equal(off[0], off[2])
    apart = (off[0][:, None] - off[0]).flatten(2).norm(dim=2) + torch.eye(4)
    assert torch.equal(pairs[0].T_cam_lidar, pairs[3].T_cam_lidar) and apart.min() > 1e-3
    assert torch.equal(own_starts(collate(pairs[::-1]), STARTS), off[0].flip(0))


def test_judging_is_repeatable_and_tells_start_and_wrong_image(batch) -> None:
    torch.manual_seed(0)
    network, task = FlowNetwork(TINY).eval(), FlowTask(STARTS)
    with torch.no_grad():
        one, two = task.judge(network, batch), task.judge(network, batch)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert {"rre_deg", "rte_m_start", "rre_deg_wrong_image"} <= one.keys()
    # one that looks at the image is led elsewhere by another
    looking = FlowNetwork(TINY).eval()
    torch.nn.init.normal_(looking.out.weight, std=0.1)
    with torch.no_grad():
        own, other = task.judge(looking, batch), task.judge(looking, with_wrong_image(batch))
    assert not torch.allclose(own["rre_deg"], own["rre_deg_wrong_image"], rtol=1e-3)
    assert torch.equal(own["rre_deg_wrong_image"], other["rre_deg"])
    # a network that knows nothing leaves the start where it is, or nearly so
    assert torch.allclose(fit(flow_matches(network(batch.image, draw(batch, batch.T_cam_lidar).raster.picture),
                                           draw(batch, batch.T_cam_lidar), batch), batch.K, batch.T_cam_lidar).T,
                          batch.T_cam_lidar, atol=0.2)
