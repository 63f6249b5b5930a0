"""The flow network at work: weights, what the registrar makes of where it leads, and how it is shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, crossi2p
from random_weights import random_weights
from test_flow_network import TINY
from test_train_command import Walls

from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.errors import InputError
from crossi2p_core.export_half import write_half_flow
from crossi2p_core.flow_aligner import Approach, FlowAligner, load_flow_network
from crossi2p_core.geometry import se3
from crossi2p_core.matcher import load_network
from crossi2p_core.model.flow_inputs import make_flow_batch
from crossi2p_core.model.flow_network import FlowNetwork
from crossi2p_core.preference import FEWEST_LED, LED, led_on
from crossi2p_core.refine.align import Alignment, align
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.registrar import Registrar, RegistrarConfig
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.train.checkpoint import Checkpoint, load, save
from crossi2p_core.types import Camera, Prior, Registration


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small flow network that has learned nothing."""
    torch.manual_seed(0)
    said = {"task": "flow", "flow": parse_yaml(dump_config(TINY), "the settings")}
    kept = Checkpoint(1, said, {}, "", FlowNetwork(TINY).state_dict(), {}, {}, None)
    return save(tmp_path_factory.mktemp("flow"), kept, keep=1)


@pytest.fixture(scope="module")
def sample():
    """Of few beams, so that the refinement alone is not sure from far off."""
    return open_source("synthetic:street?seed=4&frames=1&camera=kitti&lidar=vlp16")[0]


@pytest.fixture(scope="module")
def rough(sample) -> Prior:
    """Four degrees and 20 cm off, within bounds that tell so."""
    error = se3.make(se3.exp_so3(np.radians([0.0, 3.2, 2.4])), np.array([0.12, -0.16, 0.0]))
    return Prior(error @ sample.T_cam_lidar, 5.0, 0.25)


def test_one_frame_or_several_give_one_finite_pose_and_the_truth_is_not_looked_at(weights: Path, sample) -> None:
    aligner = FlowAligner(weights)
    start = np.asarray(sample.T_cam_lidar)
    one = aligner.approach([sample], start)
    both = aligner.approach([sample, replace(sample, name="again")], start)
    unknown = aligner.approach([replace(sample, T_cam_lidar=None)], start)
    for found in (one, both):
        assert np.isfinite(found.T_cam_lidar).all() and np.isfinite(found.covariance).all() and found.matches > 50
    assert both.matches > 1.9 * one.matches
    np.testing.assert_array_equal(unknown.T_cam_lidar, one.T_cam_lidar)


def test_frames_that_see_nothing_of_the_scan_are_left_out_or_refused(weights: Path, sample) -> None:
    up = se3.make(se3.exp_so3(np.array([-np.pi / 2, 0, 0])), np.zeros(3)) @ sample.T_cam_lidar
    with pytest.raises(InputError, match="lie in the image"):
        FlowAligner(weights).approach([sample], up)
    empty = replace(sample, name="empty", cloud=sample.cloud.select(np.arange(10)))
    found = FlowAligner(weights).approach([empty, sample], np.asarray(sample.T_cam_lidar))
    assert len(found.left_out) == 1 and found.left_out[0].startswith("empty")
    tall = replace(sample, name="tall", image=np.zeros((700, 500, 3), np.uint8), camera=Camera(
        np.array([[300.0, 0, 250], [0, 300, 350], [0, 0, 1]]), 500, 700))
    found = FlowAligner(weights).approach([sample, tall], np.asarray(sample.T_cam_lidar))
    assert len(found.left_out) == 1 and "tall: its picture is of another size" in found.left_out[0]


def test_each_kind_of_weights_is_refused_as_the_other(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not of a flow network"):
        load_flow_network(random_weights(tmp_path))
    with pytest.raises(InputError, match="does not say which network"):
        load_network(weights)


class Leads:
    """Stands in for a flow network that leads to a certain pose."""

    def __init__(self, T: np.ndarray | None) -> None:
        self.T, self.asked = T, 0

    def approach(self, samples, T_rough) -> Approach:
        self.asked += 1
        if self.T is None:
            raise InputError("nothing can be told")
        return Approach(self.T, np.eye(6), 100, 90, 1.0, 0.01)


def registrar(weights: Path, tmp_path: Path, leads: Leads) -> Registrar:
    made = Registrar(RegistrarConfig(flow=str(weights)), "cpu")
    made._flow = leads
    return made


def test_the_refinement_goes_on_from_where_it_leads_if_that_fits_better(weights: Path, tmp_path: Path, sample,
                                                                        rough: Prior) -> None:
    truth = np.asarray(sample.T_cam_lidar)
    right = registrar(weights, tmp_path, Leads(truth)).register(sample, rough)
    alone = Registrar(RegistrarConfig(flow="none"), "cpu").register(sample, rough)
    assert "flow" in right.timings and alone.status != "ok" and right.cost_after <= alone.cost_after
    assert se3.rotation_error_deg(right.T_cam_lidar, truth) < 0.5 * se3.rotation_error_deg(alone.T_cam_lidar, truth)
    off = se3.make(se3.exp_so3(np.radians([0, -2.0, 0])), np.array([0.1, 0, 0])) @ truth
    astray = registrar(weights, tmp_path, Leads(off)).register(sample, rough)
    assert astray.cost_after <= alone.cost_after  # never worse than without


def test_where_it_leads_out_of_the_bounds_or_nowhere_nothing_changes(weights: Path, tmp_path: Path, sample,
                                                                     rough: Prior) -> None:
    alone = Registrar(RegistrarConfig(flow="none"), "cpu").register(sample, rough)
    far = se3.make(se3.exp_so3(np.radians([0, 30.0, 0])), np.zeros(3)) @ sample.T_cam_lidar
    for leads in (Leads(far), Leads(None)):
        found = registrar(weights, tmp_path, leads).register(sample, rough)
        np.testing.assert_allclose(found.T_cam_lidar, alone.T_cam_lidar, atol=1e-6)
        assert leads.asked == 1
    assert "the flow network has no answer: nothing can be told" in found.reason


@pytest.fixture(scope="module")
def near(sample, rough: Prior) -> Alignment:
    """What the refinement alone makes of the rough guess."""
    return align([sample], rough, RefineConfig(), torch.device("cpu"))


def led_to(T: np.ndarray, near: Alignment, rough: Prior, response: float, inliers: int = 90,
           left_out: tuple[str, ...] = ()) -> tuple[Registration, list[Prior]]:
    """The answer where the flow network leads to T, whose edges fit by so much more; and from where it was aligned."""
    assert near.evidence is not None
    far = replace(near, T_cam_lidar=T, timings={"search": 100.0, "settle": 10.0},
                  evidence=replace(near.evidence, response=near.evidence.response + response))
    asked: list[Prior] = []
    led = Approach(T, np.eye(6), 100, inliers, 1.0, 0.01, left_out)
    return led_on(near, led, rough, lambda prior: asked.append(prior) or far), asked


def test_what_fits_worse_is_not_taken_and_all_time_is_told(near: Alignment, sample, rough: Prior) -> None:
    truth = np.asarray(sample.T_cam_lidar)
    for response, taken in ((0.1, truth), (-0.1, near.T_cam_lidar), (0.0, near.T_cam_lidar)):
        found, asked = led_to(truth, near, rough, response)
        np.testing.assert_array_equal(found.T_cam_lidar, taken)
        assert len(asked) == 1 and (asked[0].max_deg, asked[0].max_m) == LED
        assert found.timings == near.timings | {"flow": 0.01, "search": near.timings["search"] + 100, "settle": 10.0}


def test_where_hardly_a_match_agrees_nothing_is_aligned_again(near: Alignment, sample, rough: Prior) -> None:
    found, asked = led_to(np.asarray(sample.T_cam_lidar), near, rough, 0.1, inliers=FEWEST_LED - 1)
    assert not asked and found.timings == near.timings | {"flow": 0.01}
    np.testing.assert_array_equal(found.T_cam_lidar, near.T_cam_lidar)


def test_frames_that_the_flow_network_left_out_are_told(near: Alignment, sample, rough: Prior) -> None:
    found, _ = led_to(np.asarray(sample.T_cam_lidar), near, rough, 0.1, left_out=("0: too few", "1: dark"))
    assert found.reason.endswith("; the flow network left out 0: too few; 1: dark")
    assert "left out" not in led_to(np.asarray(sample.T_cam_lidar), near, rough, 0.1)[0].reason


def test_it_is_not_asked_where_the_guess_is_near_or_there_is_no_network(weights: Path, tmp_path: Path, sample) -> None:
    leads = Leads(np.asarray(sample.T_cam_lidar))
    registrar(weights, tmp_path, leads).register(sample, Prior(np.asarray(sample.T_cam_lidar), 1.0, 0.1))
    none = Registrar(RegistrarConfig(weights="none", flow=str(weights)), "cpu")
    assert leads.asked == 0 and none._flow_weights is None


def test_named_weights_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.json"):
        Registrar(RegistrarConfig(flow=str(tmp_path / "missing.json")), "cpu")


def test_weights_that_half_the_bits_cannot_hold_are_not_shipped(weights: Path, sample, tmp_path: Path) -> None:
    kept = load(weights)
    one = kept.weights["out.weight"].clone()
    one.view(-1)[0] = 1e6
    large = save(tmp_path / "large", replace(kept, weights=kept.weights | {"out.weight": one}), keep=1)
    batch = make_flow_batch(sample, TINY)
    with pytest.raises(InputError, match=r"float16 holds numbers up to 65504, and out\.weight has larger ones"):
        write_half_flow(large, tmp_path / "flow.safetensors", [batch], 0.5)
    spoilt = replace(batch, image=batch.image * torch.nan)
    with pytest.raises(InputError, match="pixels by nan"):
        write_half_flow(weights, tmp_path / "flow.safetensors", [batch, spoilt], 0.5)
    assert not list(tmp_path.glob("flow*"))


def test_the_command_trains_one_and_ships_it(tmp_path: Path) -> None:
    prepare(Walls(), tmp_path / "walls")
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump({
        "task": "flow", "out": str(tmp_path / "out"), "steps": 2, "warm_up": 1, "batch": 2, "workers": 0,
        "flow": {"size": [64, 128], "points": 2000, "width": 8, "coarse_dim": 16, "fine_dim": 8,
                 "reach": [2, 1], "dim": 16},
        "sources": [{"path": str(tmp_path / "walls")}], "validation": [{"path": str(tmp_path / "walls")}],
        "best_by": "rre_deg_median", "best_is": "low", "gradnorm": {"mode": "off"},
        "augment": {"seen_points": 0, "recorded": 0.0, "shift_m": 0.0}}))
    trained = crossi2p("train", tmp_path / "flow.yaml", "--device", "cpu")
    assert trained.code == 0 and "rre_deg_wrong_image_median" in trained.out, trained
    checkpoint = tmp_path / "out" / "checkpoints" / "step-000000002.json"
    shipped = crossi2p("export", checkpoint, tmp_path / "flow.safetensors", "--format", "half", "--source",
                       "synthetic:street?seed=0&frames=1&camera=kitti&lidar=vlp16")
    assert shipped.code == 0 and "pixels in px" in shipped.out, shipped
    assert load_flow_network(tmp_path / "flow.safetensors").config == load_flow_network(checkpoint).config
    assert_refused(crossi2p("export", checkpoint, tmp_path / "flow.pt2"), "by --format half alone")
