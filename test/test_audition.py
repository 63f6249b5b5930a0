"""Which of the places that a network thinks of the images agree with, and when that is left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from crossi2p_core import audition
from crossi2p_core.audition import NETWORK, SEVERAL, SURE_MARGIN, Start, find_anywhere, find_start, worth_showing
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.headings import all_around
from crossi2p_core.matcher import Estimate
from crossi2p_core.refine.align import Alignment
from crossi2p_core.refine.config import DriveConfig, RefineConfig, SearchConfig
from crossi2p_core.refine.judge import Evidence
from crossi2p_core.refine.residuals import Residuals
from crossi2p_core.types import Sample

QUICK = RefineConfig(search=SearchConfig(samples=1000, starts=10, finalists=3), drive=DriveConfig(enabled=False))
BEHIND = se3.make(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))  # looks the other way along the street


@pytest.fixture(scope="module")
def drive() -> list[Sample]:
    return list(open_source("synthetic:street?seed=2&frames=5&camera=small&lidar=hdl64"))


def thought_of(*tops: np.ndarray, margin: float = 0.0) -> Estimate:
    """What a network says that believes in the first of these places."""
    return Estimate(tops[0], 1e-4 * np.eye(6), margin, 0, 0, float("nan"), {}, tops=np.array(tops))


def told_of(T: np.ndarray, log_odds: float, within_deg: float = 20.0) -> Callable[[np.ndarray], np.ndarray]:
    """A network that says so much of poses that look where T (4, 4) does, and nothing of others."""
    return lambda poses: log_odds * (se3.rotation_error_deg(poses, T) < within_deg)


def off(T: np.ndarray, seed: int = 0) -> np.ndarray:
    """As far beside the truth as the network's answers for several frames are."""
    return se3.perturb(T, np.random.default_rng(seed), 3.0, 0.5)


def start(samples: list[Sample], estimate: Estimate) -> Start:
    return find_start(samples, estimate, QUICK, torch.device("cpu"))


def test_edges_choose_the_street_ahead_where_the_network_prefers_the_one_behind(drive: list[Sample]) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    found = start(drive, thought_of(BEHIND @ truth, off(truth), margin=2 * SURE_MARGIN))
    assert se3.rotation_error_deg(found.prior.T_cam_lidar, truth) < 0.5
    assert se3.translation_error_m(found.prior.T_cam_lidar, truth) < 0.1
    assert found.doubt == ""


def test_wrong_images_leave_the_start_in_doubt(drive: list[Sample]) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    other = [replace(each, image=np.ascontiguousarray(each.image[::-1])) for each in drive]
    assert start(other, thought_of(off(truth), BEHIND @ truth)).doubt


def test_two_places_that_fit_as_well_are_told(drive: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    monkeypatch.setattr(audition, "AHEAD", 1e6)
    assert "two places" in start(drive, thought_of(off(truth), BEHIND @ truth)).doubt


def test_where_the_answers_end_in_one_place_there_is_no_second_one(drive: list[Sample]) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    assert start(drive, thought_of(off(truth), off(truth, 1))).doubt == ""


def test_with_few_frames_the_network_has_the_say(drive: list[Sample]) -> None:
    wrong = BEHIND @ np.asarray(drive[0].T_cam_lidar)
    sure, unsure = (start(drive[:SEVERAL - 1], thought_of(wrong, margin=factor * SURE_MARGIN)) for factor in (2, 0.5))
    assert np.array_equal(sure.prior.T_cam_lidar, wrong) and sure.doubt == ""
    assert "not sure where to start" in unsure.doubt


@pytest.fixture
def two_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ahead, where the camera looks, and beside that."""
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[:2])


def anywhere(samples: list[Sample], estimate: Estimate | None) -> Start:
    return find_anywhere(samples, estimate, QUICK, torch.device("cpu"))


@pytest.mark.parametrize(("log_odds", "right"), [(0.1 * NETWORK, True), (9.0 * NETWORK, False)])
def test_from_no_guess_edges_and_network_decide_together_by_one_frame(drive: list[Sample], two_headings: None,
                                                                     log_odds: float, right: bool) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    behind = replace(thought_of(BEHIND @ truth, margin=2 * SURE_MARGIN), log_odds=told_of(BEHIND @ truth, log_odds))
    found = anywhere(drive[:1], behind)
    assert bool(se3.rotation_error_deg(found.prior.T_cam_lidar, truth) < 1.0) is right


def test_one_frame_is_in_doubt_where_edges_and_network_say_as_much_of_wrong_places(
        drive: list[Sample], two_headings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    here = replace(thought_of(off(truth)), log_odds=told_of(truth, 0.5 * NETWORK))
    assert anywhere(drive[:1], here).doubt == ""
    monkeypatch.setattr(audition, "SURE_VALUE", 9.0)
    assert "and of wrong places nearly as much" in anywhere(drive[:1], here).doubt


def test_from_no_guess_several_frames_are_looked_at_all_around_where_no_place_of_the_network_fits(
        drive: list[Sample], two_headings: None) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    found = anywhere(drive, thought_of(BEHIND @ truth))
    assert se3.rotation_error_deg(found.prior.T_cam_lidar, truth) < 0.5 and found.doubt == ""


def test_from_no_guess_a_sure_network_whose_place_fits_is_believed_at_once(
        drive: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "look_at", lambda *_: pytest.fail("nothing else has to be looked at"))
    truth = np.asarray(drive[0].T_cam_lidar)
    sure = replace(thought_of(truth, margin=2 * SURE_MARGIN), log_odds=told_of(truth, NETWORK))
    found = anywhere(drive[:1], sure)
    assert np.array_equal(found.prior.T_cam_lidar, truth) and found.doubt == ""


def test_few_frames_that_might_fit_elsewhere_are_in_doubt(drive: list[Sample], two_headings: None,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "SURE_RESPONSE", 9.0)
    assert "they might at a wrong place" in anywhere(drive[:1], None).doubt


@pytest.mark.parametrize("others", ["dark", "of one place"])
def test_frames_that_tell_nothing_new_make_few_frames_no_more(drive: list[Sample], two_headings: None, others: str,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "SURE_SIDES", 9.0)
    more = [replace(each, image=np.zeros_like(each.image)) if others == "dark" else drive[0] for each in drive[1:]]
    assert "they might at a wrong place" in anywhere([drive[0], *more], None).doubt
    assert anywhere(drive, None).doubt == ""


def test_frames_in_the_dark_take_nobodys_place_among_those_that_are_looked_at(drive: list[Sample],
                                                                              two_headings: None) -> None:
    dark = replace(drive[0], image=np.zeros_like(drive[0].image))
    found = anywhere([dark, drive[1], dark, drive[3], dark], None)
    assert se3.rotation_error_deg(found.prior.T_cam_lidar, drive[0].T_cam_lidar) < 0.5


def alignment(response: float, edges: int, status: str = "ok", frames: int = 1, shifted: float = 0.0) -> Alignment:
    """One that ended so many metres to the side."""
    evidence = Evidence(0.0, 1.0, response, response, np.zeros(6), np.eye(6), (1.0, 1.0))
    T = se3.make(np.eye(3), np.array([shifted, 0.0, 0.0]))
    return Alignment(T, np.eye(6), status, "nothing fits", 0.0, 0.0, Residuals(edges, edges, 1.0), 1.0,
                     evidence=evidence, frames=frames)


def test_a_failed_alignment_hides_none_that_fits() -> None:
    fits, failed = alignment(0.6, 100), alignment(0.2, 5000, "failed", shifted=1.0)
    assert audition._best_first([failed, fits]) == [fits, failed]
    assert audition._doubt_among([fits, failed]) == ""
    assert "two places" in audition._doubt_among([fits, replace(failed, status="uncertain")])


def test_what_the_network_says_decides_between_places_that_fit_about_as_well() -> None:
    here, there, clear = alignment(0.5, 900), alignment(0.4, 900, shifted=6.0), alignment(0.9, 900)
    says = audition._opinion_of(lambda T: 0.2 * NETWORK * (T[:, 0, 3] > 1.0))
    assert audition._best_first([here, there]) == [here, there]
    assert audition._best_first([here, there], says) == [there, here]
    assert audition._best_first([there, clear], says) == [clear, there]


def test_a_network_alone_takes_no_doubt_away() -> None:
    says = audition._opinion_of(lambda T: np.full(len(T), 9 * NETWORK))
    assert "the edges hardly fit" in audition._doubt_of_few([alignment(0.3, 900)], says)
    assert audition._doubt_of_few([alignment(0.7, 900)], says) == ""


def test_of_places_side_by_side_the_network_says_the_same_which_is_no_doubt() -> None:
    says = audition._opinion_of(lambda T: np.full(len(T), 3 * NETWORK))
    clear, unclear = alignment(0.6, 900, shifted=1.0), alignment(0.75, 900, shifted=1.0)
    assert audition._doubt_of_few([alignment(0.8, 900), clear], says) == ""
    assert "two places" in audition._doubt_of_few([alignment(0.8, 900), unclear], says)


def test_from_five_places_on_the_edges_decide_alone(drive: list[Sample], two_headings: None) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    behind = replace(thought_of(BEHIND @ truth, off(truth)), log_odds=lambda _: pytest.fail("it is not asked"))
    assert se3.rotation_error_deg(anywhere(drive, behind).prior.T_cam_lidar, truth) < 0.5


def test_several_frames_whose_camera_stands_apart_are_swept_about_the_networks_guesses_at_a_glance(
        drive: list[Sample], two_headings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.asarray(drive[0].T_cam_lidar)
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[9:10])  # the other way
    asked = {}

    def found(guesses: np.ndarray, says: audition.Says, some: list[Sample], *_: object) -> list[np.ndarray]:
        asked.update(guesses=guesses, says=says(truth[None]), frames=len(some))
        return [BEHIND @ truth, off(truth)]

    monkeypatch.setattr(audition, "sweep", found)
    behind = replace(thought_of(BEHIND @ truth), guesses=truth[None], glance=told_of(truth, 0.5 * NETWORK))
    assert se3.rotation_error_deg(anywhere(drive, behind).prior.T_cam_lidar, truth) < 0.5
    assert np.array_equal(asked["guesses"][-1], truth) and asked["says"] == [0.5] and asked["frames"] == audition.LOOKED


def test_the_network_is_shown_the_frames_that_the_edges_are_looked_at_in(drive: list[Sample]) -> None:
    dark = [replace(each, image=np.zeros_like(each.image)) for each in drive[1:]]
    assert list(worth_showing([drive[0], *dark, drive[0]], QUICK)) == drive[:1]
    assert list(worth_showing([*drive, drive[0]], QUICK)) == [*drive, drive[0]]


def test_a_cloud_that_was_joined_is_looked_at_from_where_the_network_thinks(
        drive: list[Sample], two_headings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "sweep", lambda *_: [])  # as of such clouds
    monkeypatch.setattr(audition, "all_around", lambda: all_around()[9:10])  # the other way
    truth = np.asarray(drive[0].T_cam_lidar)
    told = replace(thought_of(off(truth)), log_odds=told_of(truth, 0.5 * NETWORK))
    assert se3.rotation_error_deg(anywhere(drive[:1], told).prior.T_cam_lidar, truth) < 0.5


def test_few_edges_are_few_in_each_of_several_frames() -> None:
    one, six = alignment(0.7, 400), alignment(0.7, 2400, frames=6)
    assert audition._response(one) == audition._response(six) == pytest.approx(0.7 * 400 / 700)


def test_a_network_that_has_no_answer_is_told_of(drive: list[Sample], two_headings: None) -> None:
    dark = replace(drive[0], image=np.zeros_like(drive[0].image))
    with pytest.raises(InputError, match=r"the network choked, and the edges fit at no heading"):
        find_anywhere([dark], None, QUICK, torch.device("cpu"), "the network choked")


def test_frames_without_light_end_in_the_networks_answer_and_doubt(drive: list[Sample]) -> None:
    dark = [replace(each, image=np.zeros_like(each.image)) for each in drive]
    truth = np.asarray(drive[0].T_cam_lidar)
    found = start(dark, thought_of(truth, margin=2 * SURE_MARGIN))
    assert np.array_equal(found.prior.T_cam_lidar, truth)
    assert "no frame shows anything: the image is dark" in found.doubt
