"""Weights at work: loaded, refused, and what the Registrar does with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, crossi2p
from random_weights import random_weights
from test_network import SMALL

from crossi2p_core.commands.words import report_in_words
from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.matcher import Matcher
from crossi2p_core.model.config import NetworkConfig
from crossi2p_core.registrar import Registrar
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.types import Prior, Sample


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights."""
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return open_source("synthetic:street?seed=2&frames=1&camera=kitti&lidar=hdl64")[0]


def test_an_estimate_is_a_pose_within_the_prior(weights: Path, sample: Sample) -> None:
    matcher = Matcher(weights)
    assert matcher.config == SMALL
    free = matcher.estimate(sample)
    se3.check_transform(free.T_cam_lidar, "the estimate")
    assert free.covariance.shape == (6, 6) and set(free.timings) == {"network input", "network", "network pose"}
    prior = Prior(np.asarray(sample.T_cam_lidar), 3.0, 0.3)
    held = matcher.estimate(sample, prior)
    assert se3.rotation_error_deg(held.T_cam_lidar, prior.T_cam_lidar) < 3.1
    np.testing.assert_array_equal(matcher.estimate(sample, prior).T_cam_lidar, held.T_cam_lidar)


def test_a_near_prior_needs_no_network_and_no_prior_needs_one(weights: Path, sample: Sample) -> None:
    registrar = Registrar(device="cpu", weights=weights)
    near = registrar.register(sample, Prior(np.asarray(sample.T_cam_lidar), 2.0, 0.2))
    assert near.status == "ok" and "network" not in near.timings
    for prior in (None, Prior(np.asarray(sample.T_cam_lidar), 20.0, 1.0)):
        lost = registrar.register(sample, prior)  # random weights: it must not be believed
        assert "network" in lost.timings and lost.status in ("failed", "uncertain")


def test_without_weights_a_missing_prior_is_the_samples_own(sample: Sample) -> None:
    assert Registrar(device="cpu").register(sample).status == "ok"


def test_weights_that_cannot_be_used_are_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Matcher(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="does not say which network"):
        Matcher(random_weights(tmp_path / "nameless", {}))
    other = parse_yaml(dump_config(NetworkConfig()), "the settings")
    with pytest.raises(InputError, match="is of another network"):
        Matcher(random_weights(tmp_path / "other", {"network": other}))


def test_the_command_starts_from_nothing(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = crossi2p("register", "synthetic:street?seed=2&frames=1&camera=kitti&lidar=hdl64", "--from-scratch",
                     "--weights", weights, "--out", out, "--json")
    report = json.loads(found.out)
    (record,) = report["frames"]
    assert record["init_error_deg"] is None and record["error_deg"] is not None and "network" in record["timings_s"]
    assert record["status"] != "ok"  # the weights are random
    assert report["summary"]["init_error_deg_median"] is None and report["summary"]["share_worse"] == 0
    assert [path.name for path in out.glob("*.jpg")] == ["000000_after.jpg"]
    assert "from scratch" in report_in_words(report, out)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--from-scratch"], "--from-scratch needs a trained network"),
    (["--from-scratch", "--perturb", "1,10"], "so --perturb has nothing to say"),
    (["--from-scratch", "--search", "5,50"], "so --search has nothing to say")])
def test_starting_from_nothing_asks_for_weights_and_for_no_start(arguments: list[str], words: str) -> None:
    assert_refused(crossi2p("register", "synthetic:street?seed=2&frames=1", *arguments), words)
