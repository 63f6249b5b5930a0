"""Agreement, choice of frames, cross-validation, observability and verdict, each against answers known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bags import sample
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.calibrate.agree import agree
from crossi2p_core.calibrate.choose import Place, apart, choose
from crossi2p_core.calibrate.config import CalibrateConfig
from crossi2p_core.calibrate.cross import cross_validate, few_places, jackknife, leave_out, shared_error, widened
from crossi2p_core.calibrate.frames import Read, evenly
from crossi2p_core.calibrate.look import look
from crossi2p_core.calibrate.moved import Moved, moved
from crossi2p_core.calibrate.observability import in_words, sigmas
from crossi2p_core.calibrate.report import in_words as told
from crossi2p_core.calibrate.run import calibrate
from crossi2p_core.calibrate.verdict import judge
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.pose_covariance import SAME, covariance_from_ros, covariance_to_ros
from crossi2p_core.types import Camera, PointCloud, Prior, Registration, Sample

TRUTH = se3.make(se3.exp_so3(np.array([0.3, -1.2, 0.4])), np.array([0.2, -0.1, 1.5]))
SIGMA = np.array([2e-3, 1e-3, 3e-3, 0.02, 0.05, 0.03])
CONFIG = CalibrateConfig()
NOWHERE = Place(None, None)


def draws(count: int, seed: int, sigma: np.ndarray = SIGMA) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of TRUTH with errors of the given sigmas, and the covariances (n, 6, 6) that say so."""
    xi = np.random.default_rng(seed).standard_normal((count, 6)) * sigma
    return se3.exp_se3(xi) @ TRUTH, np.broadcast_to(np.diag(SIGMA**2), (count, 6, 6))


def registration(status: str = "ok", reason: str = "fits") -> Registration:
    return Registration(TRUTH, np.diag(SIGMA**2), status, reason, 1.0, 0.5, 0.0)


def error_in_sigmas(T: np.ndarray, covariance: np.ndarray) -> float:
    xi = se3.log_se3(T @ se3.inverse(TRUTH))
    return float(np.sqrt(xi @ np.linalg.solve(covariance, xi)))


def test_one_estimate_agrees_with_itself() -> None:
    T, covariance = draws(1, 0)
    found = agree(T, covariance)
    assert np.allclose(found.T, T[0], atol=1e-9)
    assert np.allclose(found.covariance, covariance[0], rtol=1e-6)
    assert found.weights[0] == pytest.approx(1.0)


@pytest.mark.parametrize("outliers", [0, 5, 9])
def test_outliers_hardly_move_the_agreement(outliers: int) -> None:
    T, covariance = draws(20, 1)
    T = T.copy()
    for i in range(outliers):  # every one somewhere else, far away in sigmas
        T[i] = se3.exp_se3(np.random.default_rng(i).uniform(-1, 1, 6) * 60 * SIGMA) @ TRUTH
    found = agree(T, covariance)
    assert error_in_sigmas(found.T, np.diag(SIGMA**2) / 20) < 6
    assert (found.weights[:outliers] < 0.05).all()
    assert (found.weights[outliers:] > 0.3).all()


def test_the_covariance_of_an_agreement_is_that_of_its_errors() -> None:
    squared = []
    for seed in range(200):
        found = agree(*draws(10, 100 + seed))
        squared.append(error_in_sigmas(found.T, found.covariance) ** 2)
    assert 4.0 < np.mean(squared) < 8.0  # six numbers: 6 is exact


def test_estimates_that_scatter_more_than_they_say_widen_the_answer() -> None:
    honest, boasting = agree(*draws(20, 3)), agree(*draws(20, 3, 3 * SIGMA))
    assert np.trace(boasting.covariance) > 3 * np.trace(honest.covariance)


def test_precise_estimates_count_more_than_vague_ones() -> None:
    T = np.stack([TRUTH, se3.exp_se3(np.array([0.02, 0, 0, 0.3, 0, 0])) @ TRUTH])
    covariance = np.stack([np.diag(SIGMA**2), 1e4 * np.diag(SIGMA**2)])
    assert error_in_sigmas(agree(T, covariance).T, np.diag(SIGMA**2)) < 0.2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_agreement_does_not_depend_on_where_the_world_begins(seed: int) -> None:
    T, covariance = draws(6, seed)
    G = se3.exp_se3(np.random.default_rng(seed).standard_normal(6))
    assert np.allclose(agree(T @ G, covariance).T, agree(T, covariance).T @ G, atol=1e-8)


def test_nothing_and_nonsense_are_refused() -> None:
    T, covariance = draws(2, 0)
    with pytest.raises(InputError, match="no estimate"):
        agree(T[:0], covariance[:0])
    with pytest.raises(InputError, match="not finite"):
        agree(T, covariance * np.array([1.0, np.nan])[:, None, None])
    with pytest.raises(InputError, match="not positive"):
        agree(T, -covariance)


def test_frames_that_know_what_the_others_do_not_come_first() -> None:
    """Ten frames know five directions well, one knows the sixth: two of eleven must contain it."""
    information = np.broadcast_to(np.diag([100.0, 100, 100, 100, 100, 1]), (11, 6, 6)).copy()
    information[7] = np.diag([1.0, 1, 1, 1, 1, 100])
    assert 7 in choose(information, [NOWHERE] * 11, replace(CONFIG, frames=2))


def test_frames_of_one_place_count_less() -> None:
    information = np.broadcast_to(np.eye(6), (6, 6, 6))
    parked = [Place(np.zeros(3), None)] * 5 + [Place(np.array([50.0, 0, 0]), None)]
    assert 5 in choose(information, parked, replace(CONFIG, frames=2))
    waiting = [Place(None, 0.1 * i) for i in range(5)] + [Place(None, 60.0)]
    assert 5 in choose(information, waiting, replace(CONFIG, frames=2))


def test_the_choice_is_within_bounds_and_without_repetition() -> None:
    information = np.broadcast_to(np.eye(6), (4, 6, 6))
    chosen = choose(information, [NOWHERE] * 4, replace(CONFIG, frames=20))
    assert sorted(chosen) == [0, 1, 2, 3]


@given(st.integers(1, 500), st.integers(1, 60))
def test_even_spread_has_both_ends_and_no_more_than_wanted(count: int, wanted: int) -> None:
    picked = evenly(count, wanted)
    assert len(picked) == len(set(picked)) == min(count, wanted)
    assert picked[0] == 0
    assert wanted == 1 or picked[-1] == count - 1


@given(st.integers(0, 60), st.integers(0, 10))
def test_every_frame_is_left_out_once(frames: int, folds: int) -> None:
    stays = leave_out(frames, folds)
    if frames < 3 or folds < 2:
        assert not stays
        return
    missing = [i for kept in stays for i in range(frames) if i not in kept]
    assert sorted(missing) == list(range(frames))
    assert all(kept for kept in stays)


def test_the_jackknife_knows_the_scatter_of_a_mean() -> None:
    """A mean of 20 numbers: its variance is theirs over 20, and leaving groups of four out must say the same."""
    variances = []
    for seed in range(300):
        xi = np.random.default_rng(seed).standard_normal((20, 6)) * 1e-3
        stays = leave_out(20, 5)
        whole = se3.exp_se3(xi.mean(axis=0)) @ TRUTH
        found = cross_validate(whole, stays, lambda kept, xi=xi: se3.exp_se3(xi[list(kept)].mean(axis=0)) @ TRUTH)
        variances.append(np.diag(found.covariance))
    assert np.allclose(np.mean(variances, axis=0), 1e-6 / 20, rtol=0.2)


def test_equal_answers_without_each_group_scatter_not_at_all() -> None:
    assert np.allclose(jackknife(TRUTH, np.stack([TRUTH] * 5)), 0)


def test_a_covariance_is_widened_never_narrowed() -> None:
    own = np.diag(SIGMA**2)
    assert np.allclose(widened(own, 0.1 * own), own)
    assert np.allclose(widened(own, 9 * own), 9 * own)


@pytest.mark.parametrize("places", [5, 10, 50])
def test_answers_from_few_places_stay_within_what_is_said_of_them(places: int) -> None:
    """Errors whose size is as uncertain as that of so many draws: one of a hundred is beyond, as if it were known."""
    rng = np.random.default_rng(places)
    size = (places - 1) / rng.chisquare(places - 1, 20_000)
    squared = (rng.standard_normal((20_000, 6))**2).sum(axis=1) * size
    assert 0.007 < (squared > few_places(places) * SAME**2).mean() < 0.013
    assert few_places(1) == few_places(5) > few_places(6) > few_places(1000) > 1


def test_frames_of_one_place_are_one_place() -> None:
    road = [Place(np.array([0.5 * i, 0, 0]), None) for i in range(9)]  # 2 m are apart
    assert apart(road, CONFIG) == 3 and apart([NOWHERE] * 4, CONFIG) == 4
    assert apart([Place(None, 0.1 * i) for i in range(10)], CONFIG) == 2


class Sure:
    """Instead of a registrar: one answer, and always as sure."""

    def register(self, *_: object) -> Registration:
        return replace(registration(), covariance=np.diag((0.15 * SIGMA)**2))

    register_joint = register


@pytest.mark.parametrize(("frames", "seconds", "start"), [(5, 1.0, "good"), (50, 1.0, "wrong"), (50, 0.01, "good")])
def test_few_places_call_no_start_wrong_that_many_would(frames: int, seconds: float, start: str) -> None:
    """The start is 4.6 sigmas of the joint alignment off."""
    camera = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), 640, 480)
    samples = tuple(Sample(str(i), np.zeros((480, 640, 3), np.uint8), camera, PointCloud(np.zeros((1, 3), np.float32)),
                           stamp_cloud=seconds * i) for i in range(frames))
    off = Prior(se3.exp_se3(4.6 * 0.15 * SIGMA * np.eye(6)[4]) @ TRUTH, 1.0, 0.1)
    wide = replace(CONFIG, frames=frames, folds=0, floor_px=0.0)
    found = calibrate(Read(samples, ()), off, Sure(), wide, lambda *_: None)  # type: ignore[arg-type]
    assert (found.verdict.status, found.verdict.start) == ("ok", start)


def test_what_frames_share_is_told_in_pixels() -> None:
    """Half a pixel of a camera with f = 500 px is 1 mrad, and 1 cm at ten metres, wherever the LiDAR is."""
    camera = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), 640, 480)
    ros = covariance_to_ros(shared_error(camera, TRUTH, 0.5), TRUTH)
    assert np.allclose(np.sqrt(np.diag(ros)), [0.01] * 3 + [0.001] * 3)


@pytest.mark.parametrize(("axis", "words"), [(3, "pitch"), (4, "yaw"), (5, "roll"), (0, "sideways"),
                                             (1, "up and down"), (2, "along the optical axis")])
def test_the_weak_direction_is_named(axis: int, words: str) -> None:
    """axis: in the order of ROS, position then rotation, of a camera at the LiDAR itself, where both say the same."""
    ros = np.full(6, 1e-8)
    ros[axis] = 0.1**2
    twist = np.diag(np.concatenate([ros[3:], ros[:3]]))
    told = in_words(twist, np.eye(4), CONFIG.ok_deg, CONFIG.ok_m)
    assert len(told) == 1
    assert words in told[0]


def test_a_turn_far_from_the_origin_is_not_called_a_shift() -> None:
    """The camera turns about itself by 0.1 deg: 10 m from the origin that moves the twist's translation by 1.7 cm."""
    T = se3.make(np.eye(3), np.array([0.0, 0.0, 10.0]))
    J = np.zeros((6, 1))
    J[:3, 0] = [np.radians(0.1), 0, 0]
    J[3:, 0] = -np.cross(J[:3, 0], T[:3, 3])
    degrees, metres = sigmas(J @ J.T, T)
    assert degrees == pytest.approx(0.1)
    assert metres == pytest.approx(0, abs=1e-9)


def way(sigmas: float, at_most_deg: float = 0.3, at_most_m: float = 0.05) -> Moved:
    return Moved(0.1, 0.01, sigmas, at_most_deg, at_most_m)


def test_verdicts() -> None:
    good = judge(registration(), (0.1, 0.01), 20, 20, (), "", way(2.0), CONFIG)
    assert (good.status, good.start) == ("ok", "good")
    assert judge(registration(), (0.1, 0.01), 20, 20, (), "", way(2 * SAME), CONFIG).start == "wrong"
    assert judge(registration(), (0.1, 0.01), 20, 20, (), "", moved(None, TRUTH, np.eye(6)), CONFIG).start == "unknown"
    weak = judge(registration(), (0.1, 0.01), 20, 20, ("roll is weak",), "", way(50.0), CONFIG)
    assert (weak.status, weak.start) == ("uncertain", "unknown")
    assert "roll is weak" in weak.reason
    few = judge(registration(), (0.1, 0.01), 3, 3, (), "", way(1.0), CONFIG)
    assert few.status == "uncertain" and "only 3 frames" in few.reason
    doubted = judge(registration(), (0.1, 0.01), 20, 20, (), "not sure where to start", way(1.0), CONFIG)
    assert doubted.status == "uncertain"
    assert judge(registration("failed", "no edges"), (0.1, 0.01), 20, 20, (), "", way(1.0), CONFIG).status == "failed"


@pytest.mark.parametrize("at_most", [(0.6, 0.05), (0.3, 0.12)])
def test_a_start_that_few_frames_cannot_tell_from_a_bad_one_is_not_called_good(at_most: tuple[float, float]) -> None:
    assert judge(registration(), (0.2, 0.03), 5, 5, (), "", way(2.0, *at_most), CONFIG).start == "unknown"


def test_how_far_off_the_start_may_be() -> None:
    """0.2 deg and 3 cm away; the answer itself is known to 0.1 deg and 1 cm about each axis."""
    start = se3.make(se3.exp_so3(np.array([0, np.radians(0.2), 0])) @ TRUTH[:3, :3], TRUTH[:3, 3] + [0.03, 0, 0])
    covariance = covariance_from_ros(np.diag([0.01**2] * 3 + [np.radians(0.1)**2] * 3), TRUTH)
    told = moved(Prior(start, 1.0, 0.1), TRUTH, covariance)
    assert (told.deg, told.m) == (pytest.approx(0.2), pytest.approx(0.03))
    assert told.sigmas == pytest.approx(np.hypot(2, 3), rel=1e-2)
    assert told.at_most_deg == pytest.approx(0.2 + 3.37 * 0.1)
    assert told.at_most_m == pytest.approx(0.03 + 3.37 * 0.01)


@pytest.mark.parametrize(("at_most", "said"), [(0.6, "off by at most 0.60 deg, 12.0 cm"), (float("nan"), "be told\n")])
def test_only_an_answer_that_is_ok_bounds_how_far_off_the_start_is(at_most: float, said: str) -> None:
    one = {"name": "a", "status": "ok", "reason": "", "moved_deg": 0.1, "moved_cm": 1.0, "moved_sigmas": 1.0,
           "start_was": "unknown", "start_off_at_most_deg": at_most, "start_off_at_most_cm": 20 * at_most,
           "error_deg": float("nan"), "cross_validation": None, "time_offset": None,
           "time_offset_not_looked_for": "no open3d", "frames": [], "used": []}
    assert said in told(one) and "not looked for, stamps count as exact: no open3d" in told(one)


def test_answers_that_err_more_than_they_say_make_the_whole_as_unsure() -> None:
    ratios = [np.trace(agree(*draws(20, seed, 3 * SIGMA)).covariance) / np.trace(agree(*draws(20, seed)).covariance)
              for seed in range(20)]
    assert np.mean(ratios) > 4.5


def test_two_places_are_too_few() -> None:
    verdict = judge(registration(), (0.1, 0.01), 10, 2, (), "", moved(None, np.eye(4), np.eye(6)), CONFIG)
    assert verdict.status == "uncertain" and "only 2 places were seen" in verdict.reason


def test_frames_without_an_answer_are_none_to_agree_with() -> None:
    class Eyes:
        answers = iter(replace(one, cost_after=-1.0) for one in (
            registration(), registration("failed", "dark"),
            replace(registration("uncertain"), covariance=np.full((6, 6), np.inf))))

        def register(self, sample: Sample, prior: Prior) -> Registration:
            return next(self.answers)

    seen = look([sample(k) for k in range(3)], Prior(np.eye(4)), Eyes(), lambda *_: None)
    assert seen.which == (0,) and seen.looked[1].reason == "dark"
