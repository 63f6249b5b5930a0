"""Weights at work: loaded, refused, and what the Registrar does with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, crossi2p
from random_weights import random_weights
from test_network import SMALL

from crossi2p_core import audition
from crossi2p_core.audition import SURE_MARGIN
from crossi2p_core.commands.records import exit_code, plain, summarize
from crossi2p_core.commands.register import _register_each
from crossi2p_core.commands.starts import Starts
from crossi2p_core.commands.words import report_in_words
from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.headings import all_around
from crossi2p_core.matcher import Matcher
from crossi2p_core.model.config import NetworkConfig
from crossi2p_core.preference import better_of
from crossi2p_core.registrar import Registrar
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.types import Camera, Prior, Registration, Sample

BEHIND = se3.make(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))  # looks the other way


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


@pytest.mark.parametrize("size", [(1280, 64), (80, 480), (640, 8)])
def test_a_strip_of_an_image_has_a_pose(weights: Path, sample: Sample, size: tuple[int, int]) -> None:
    width, height = size
    camera = Camera(np.array([[400.0, 0, width / 2], [0, 400, height / 2], [0, 0, 1]]), width, height)
    strip = replace(sample, camera=camera, image=np.full((height, width, 3), 90, np.uint8))
    se3.check_transform(Matcher(weights).estimate(strip).T_cam_lidar, "the estimate")


def test_an_estimate_tells_how_likely_any_pose_is(weights: Path, sample: Sample) -> None:
    matcher = Matcher(weights)
    one, twice = matcher.estimate_jointly([sample], broad=50), matcher.estimate_jointly([sample, sample])
    assert 0 < len(one.guesses) <= 50 and len(twice.guesses) == 0
    value = one.log_odds(np.stack([one.T_cam_lidar, BEHIND @ one.T_cam_lidar]))
    assert value[0] > value[1]  # the one that it prefers
    assert np.abs(one.log_odds(one.guesses)).max() > 1.0
    both = twice.log_odds(one.guesses)  # of each sample, not of their sum
    np.testing.assert_allclose(both, one.log_odds(one.guesses), rtol=0.05, atol=0.05)


@pytest.fixture
def few_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of which is near the truth: then an answer must be the network's, if it is any."""
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[9:11])


def test_a_near_prior_needs_no_network_and_no_prior_asks_one(weights: Path, sample: Sample, few_headings: None) -> None:
    registrar = Registrar(device="cpu", weights=weights)
    near = registrar.register(sample, Prior(np.asarray(sample.T_cam_lidar), 2.0, 0.2))
    assert near.status == "ok" and "network" not in near.timings
    lost = registrar.register(sample, None)  # random weights: they must not be believed
    assert "network" in lost.timings and lost.status in ("failed", "uncertain")


def test_a_network_that_knows_nothing_never_displaces_a_guess(weights: Path, sample: Sample) -> None:
    truth = np.asarray(sample.T_cam_lidar)
    wide = Prior(se3.perturb(truth, np.random.default_rng(0), 1.0, 0.1), 8.0, 0.4)
    found, alone = (Registrar(device="cpu", weights=each).register(sample, wide) for each in (weights, "none"))
    assert "network" in found.timings and "the network's start led nowhere better" in found.reason
    np.testing.assert_allclose(found.T_cam_lidar, alone.T_cam_lidar, atol=1e-9)
    assert found.status == alone.status and found.cost_before == pytest.approx(alone.cost_before)


def test_a_sure_answer_within_the_bounds_displaces_a_failed_one(sample: Sample) -> None:
    near = Registration(np.eye(4), np.eye(6), "failed", "no", 3.0, 3.0, doubt_before=0.5)
    far = Registration(se3.make(np.eye(3), np.array([0.5, 0, 0])), np.eye(6), "ok", "yes", 2.0, 1.0)
    taken = better_of(near, far, Prior(np.eye(4), 20.0, 1.0))
    assert taken.status == "ok" and (taken.cost_before, taken.doubt_before) == (3.0, 0.5)
    unsure = replace(far, status="uncertain")
    for prior, other in ((Prior(np.eye(4), 20.0, 0.4), far), (Prior(np.eye(4), 20.0, 1.0), unsure)):
        assert np.array_equal(better_of(near, other, prior).T_cam_lidar, np.eye(4))
    worse = replace(far, cost_after=9.0)
    assert np.array_equal(better_of(replace(near, status="ok"), worse, Prior(np.eye(4), 20.0, 1.0)).T_cam_lidar,
                          np.eye(4))


@pytest.mark.parametrize("bounds", [(1.9, 0.4), (3.0, 0.9), (20.0, 1.0)])
def test_random_weights_are_never_sure(weights: Path, sample: Sample, bounds: tuple[float, float]) -> None:
    found = Matcher(weights).estimate(sample, Prior(np.asarray(sample.T_cam_lidar), *bounds))
    assert found.margin < SURE_MARGIN


def test_a_frame_that_the_network_cannot_take_does_not_end_the_others(weights: Path, sample: Sample) -> None:
    empty = replace(sample, name="thin", cloud=sample.cloud.select(np.arange(5)))
    found = Matcher(weights).estimate_jointly([empty, sample])
    assert len(found.left_out) == 1 and found.left_out[0].startswith("thin:")
    np.testing.assert_allclose(found.T_cam_lidar, Matcher(weights).estimate(sample).T_cam_lidar, atol=1e-9)
    with pytest.raises(InputError, match="thin:"):
        Matcher(weights).estimate(empty)
    wide = Prior(np.asarray(sample.T_cam_lidar), 8.0, 0.4)
    handed_on = Registrar(device="cpu", weights=weights).register(empty, wide)
    assert handed_on.status == "failed" and "the network has no answer" in handed_on.reason
    np.testing.assert_allclose(handed_on.T_cam_lidar, wide.T_cam_lidar, atol=1e-12)


class OneThin:
    """Two frames, of which the second has nearly no points."""

    names = ("whole", "thin")

    def __init__(self, sample: Sample) -> None:
        self.frames = [sample, replace(sample, name="thin", cloud=sample.cloud.select(np.arange(5)))]

    def __getitem__(self, index: int) -> Sample:
        return self.frames[index]


def test_a_lost_frame_is_a_failed_record_beside_the_others(weights: Path, sample: Sample, few_headings: None,
                                                           tmp_path: Path) -> None:
    starts = Starts.from_options(None, 0, None, None, from_scratch=True)
    registrar = Registrar(device="cpu", weights=weights)
    whole, thin = _register_each(OneThin(sample), [0, 1], starts, registrar, tmp_path)  # type: ignore[arg-type]
    assert whole["T_cam_lidar"] is not None and "thin" in thin["reason"]
    assert thin["status"] == "failed" and thin["T_cam_lidar"] is None and plain(thin)["error_deg"] is None
    report = {"frames": [whole, thin], "summary": summarize([whole, thin])}
    assert report["summary"]["error_deg_p90"] == np.inf  # no answer is no better than any
    json.dumps(plain(report), allow_nan=False)
    assert exit_code(report["summary"]) == 1 and "thin" in report_in_words(plain(report), tmp_path)


def test_without_weights_a_missing_prior_is_the_samples_own(sample: Sample) -> None:
    assert Registrar(device="cpu", weights="none").register(sample).status == "ok"


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
    assert "look around" in record["timings_s"]  # the weights are random: it is the edges that find the camera
    assert record["error_deg"] < 0.5 and record["error_cm"] < 15
    assert report["summary"]["init_error_deg_median"] is None and report["summary"]["share_worse"] == 0
    assert [path.name for path in out.glob("*.jpg")] == ["000000_after.jpg"]
    assert "from scratch" in report_in_words(report, out)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--from-scratch", "--perturb", "1,10"], "so --perturb has nothing to say"),
    (["--from-scratch", "--search", "5,50"], "so --search has nothing to say")])
def test_starting_from_nothing_asks_for_no_start(arguments: list[str], words: str) -> None:
    assert_refused(crossi2p("register", "synthetic:street?seed=2&frames=1", *arguments), words)
