"""Figures of predictions. A pair without an answer is infinitely wrong, and one whose status is `failed` not right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import se3
from .predict import IMAGE_FREE, NOT_APPLICABLE, START, Prediction
from .protocols import Protocol

Array = np.ndarray
CURVE_STEPS = 60
DISTANCES_M, OVERLAPS = (10.0, 20.0), (0.1, 0.2)  # between groups
BELOW, OR_MORE, UNKNOWN = "below", "or more", "unknown"


@dataclass(frozen=True)
class Judged:
    """One method with one image over n pairs. rre, euler: (n,) deg, geodesic and sum of |Euler angles|; rte: (n,) m.

    status: as told. sigma: (n, 2) deg and m as told, NaN where not. recall: (n,) of the coarse stage, NaN without.
    pairs: the predictions that these are of.
    """

    rre: Array
    euler: Array
    rte: Array
    status: tuple[str, ...]
    sigma: Array
    recall: Array
    pairs: tuple[Prediction, ...]

    def within(self, limit: tuple[float, float]) -> Array:
        """(n,) bool: right to within (degrees, metres), and not told to have failed."""
        told = np.array([status != "failed" for status in self.status], dtype=bool)
        return told & (self.rre < limit[0]) & (self.rte < limit[1])

    def select(self, mask: Array) -> Judged:
        """Some of the pairs."""
        index = np.flatnonzero(mask)
        return Judged(self.rre[index], self.euler[index], self.rte[index], tuple(self.status[i] for i in index),
                      self.sigma[index], self.recall[index], tuple(self.pairs[i] for i in index))


def judge(predictions: Sequence[Prediction]) -> dict[tuple[str, str], Judged]:
    """Errors by (method, image), in the order in which they were asked."""
    found: dict[tuple[str, str], list[tuple[dict[str, Any], Prediction]]] = {}
    for one in predictions:
        for answer in one["answers"]:
            found.setdefault((answer["method"], answer["image"]), []).append((answer, one))
    return {key: _judged(answers) for key, answers in found.items()}


def _judged(answers: list[tuple[dict[str, Any], Prediction]]) -> Judged:
    errors = np.array([_errors(answer["T_cam_lidar"], one["truth"]) for answer, one in answers]).reshape(-1, 3)
    sigma = np.array([answer.get("sigma") or (np.nan, np.nan) for answer, _ in answers], dtype=float)
    recall = np.array([np.nan if answer.get("recall") is None else answer["recall"] for answer, _ in answers])
    return Judged(errors[:, 0], errors[:, 1], errors[:, 2], tuple(answer["status"] for answer, _ in answers), sigma,
                  recall, tuple(one for _, one in answers))


def _errors(T: list[list[float]] | None, truth: list[list[float]] | None) -> tuple[float, float, float]:
    """Degrees, degrees as sum of Euler angles, metres; infinite without an answer."""
    if T is None or truth is None:
        return math.inf, math.inf, math.inf
    found, right = np.array(T), np.array(truth)
    return (float(se3.rotation_error_deg(found, right)), float(se3.euler_sum_deg(found, right)),
            float(se3.translation_error_m(found, right)))


def summary(judged: Judged, protocol: Protocol) -> dict[str, Any]:
    """Shares within the limits over all pairs, and medians, 90th percentiles and means of the errors.

    `mean` is over what the protocol says; of all pairs it leaves out those without an answer, of which
    `unanswered` tells the number. What would be infinite is None.
    """
    right = judged.within(protocol.limits[0])
    answered = np.isfinite(judged.rre)
    counted = right if protocol.mean_over == "successes" else answered
    told: dict[str, Any] = {
        "pairs": len(right), "unanswered": int((~answered).sum()), "failed": judged.status.count("failed"),
        "share_within": {limit_in_words(limit): _mean(judged.within(limit)) for limit in protocol.limits},
        "share_deg_only": _mean(judged.within((protocol.limits[0][0], math.inf))),
        "share_m_only": _mean(judged.within((math.inf, protocol.limits[0][1]))), "mean_over": protocol.mean_over}
    for name, values in (("rre_deg", judged.rre), ("euler_sum_deg", judged.euler), ("rte_m", judged.rte)):
        told[name] = {"median": percentile(values, 50), "p90": percentile(values, 90), "mean": _mean(values[counted]),
                      "mean_all": _mean(values[answered]), "mean_successes": _mean(values[right])}
    told["coarse_recall"] = _recall(judged)
    return told


def confidence(judged: Judged, protocol: Protocol) -> dict[str, Any]:
    """Does `ok` mean right? By status: how many, and the share of them that is right; and how often errors lie within
    three of the sigmas that were told."""
    within = judged.within(protocol.limits[0])
    near = (judged.rre < protocol.limits[0][0]) & (judged.rte < protocol.limits[0][1])  # of failed ones, too
    told: dict[str, Any] = {}
    for status in ("ok", "uncertain", "failed"):
        those = np.array([each == status for each in judged.status], dtype=bool)
        told[status] = {"pairs": int(those.sum()), "share_right": _mean(near[those])}
    sure = np.array([each == "ok" for each in judged.status], dtype=bool)
    told["share_of_right_told_ok"] = _mean(sure[within])
    known = np.isfinite(judged.sigma).all(axis=1)
    errors = np.stack([judged.rre, judged.rte], axis=1)
    told["share_within_3_sigma"] = _mean((errors[known] <= 3 * judged.sigma[known]).all(axis=1))
    return told


def curves(judged: Judged, protocol: Protocol) -> dict[str, list[list[float]]]:
    """Share of all pairs below an error, over errors up to twice the first limit: [[error, share], ...]. A failed
    answer is below none."""
    told = {}
    failed = np.array([each == "failed" for each in judged.status], dtype=bool)
    for name, values, limit in (("rre_deg", judged.rre, protocol.limits[0][0]),
                                ("rte_m", judged.rte, protocol.limits[0][1])):
        at = np.linspace(0, 2 * limit, CURVE_STEPS + 1)
        told[name] = [[float(x), float(((values <= x) & ~failed).mean())] for x in at]
    return told


def by_group(judged: Judged, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """`summary` by rig, by distance of what is seen, and by overlap."""
    ways: dict[str, Callable[[Prediction], str]] = {
        "rig": lambda one: one["rig"] or UNKNOWN,
        "distance": lambda one: _bin(one.get("distance_m"), DISTANCES_M, " m"),
        "overlap": lambda one: _bin(one.get("overlap"), OVERLAPS, "")}
    told: dict[str, dict[str, Any]] = {}
    for way, label in ways.items():
        labels = np.array([label(one) for one in judged.pairs])
        told[way] = {str(each): summary(judged.select(labels == each), protocol)
                     for each in sorted(set(labels.tolist()), key=_in_order)}
    return told


def all_metrics(predictions: Sequence[Prediction], protocol: Protocol) -> dict[str, Any]:
    """Everything, ready for JSON: `table`, and under `methods` the details by method and image."""
    judged = judge(predictions)
    methods: dict[str, dict[str, Any]] = {}
    for (method, image), one in judged.items():
        methods.setdefault(method, {})[image] = summary(one, protocol) | {
            "confidence": confidence(one, protocol), "curves": curves(one, protocol), "groups": by_group(one, protocol)}
    return {"pairs": len(predictions), "table": table(judged, protocol), "methods": methods,
            "bad_frames": {one["frame"]: one["failed"] for one in predictions if one["failed"]}}


def table(judged: Mapping[tuple[str, str], Judged], protocol: Protocol) -> list[dict[str, Any]]:
    """A row per method: the share of right answers with the right and a wrong image and by the control, and the
    differences, which alone say something about the image.

    The control counts over the pairs where it is applicable, `control_pairs` of them, and so does the difference to it.
    """
    limit = protocol.limits[0]
    control = judged.get((IMAGE_FREE, "none"))
    applicable = None if control is None else np.array([status != NOT_APPLICABLE for status in control.status])
    rows = []
    for method in dict.fromkeys(name for name, _ in judged if name != IMAGE_FREE):
        right = judged.get((method, "none" if method == START else "right"))
        wrong = judged.get((method, "wrong"))
        shares = [None if one is None else _mean(one.within(limit)) for one in (right, wrong)]
        row = {"method": method, "right": shares[0], "wrong": shares[1], "right_minus_wrong": _difference(*shares),
               "recall_right": _recall(judged.get((method, "right"))), "recall_wrong": _recall(wrong),
               "image_free": None, "right_minus_image_free": None, "control_pairs": 0}
        if control is not None and applicable is not None and right is not None and applicable.any():
            both = [_mean(one.within(limit)[applicable]) for one in (right, control)]
            row |= {"image_free": both[1], "right_minus_image_free": _difference(*both),
                    "control_pairs": int(applicable.sum())}
        rows.append(row)
    return rows


def _recall(judged: Judged | None) -> float | None:
    """Mean over the pairs where it is known."""
    return None if judged is None else _mean(judged.recall[np.isfinite(judged.recall)])


def limit_in_words(limit: tuple[float, float]) -> str:
    """`5 deg, 2 m`; below half a metre in centimetres."""
    metres = f"{100 * limit[1]:g} cm" if limit[1] < 0.5 else f"{limit[1]:g} m"
    return f"{limit[0]:g} deg, {metres}"


def percentile(values: Array, percent: float) -> float | None:
    """None where it is infinite, or of nothing; linear between values, as numpy has it without any infinite ones."""
    if not len(values):
        return None
    ordered, place = np.sort(values), (len(values) - 1) * percent / 100
    low, share = int(place), place % 1
    found = float(ordered[low]) if share == 0 else float((1 - share) * ordered[low] + share * ordered[low + 1])
    return found if math.isfinite(found) else None


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: Array) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _bin(value: float | None, edges: tuple[float, ...], unit: str) -> str:
    if value is None:
        return UNKNOWN
    above = sum(value >= edge for edge in edges)
    return (f"{BELOW} {edges[0]:g}{unit}", f"{edges[0]:g} to {edges[-1]:g}{unit}",
            f"{edges[-1]:g}{unit} {OR_MORE}")[above]


def _in_order(label: str) -> tuple[bool, bool, bool, str]:
    """From small to large, the unknown last."""
    return label == UNKNOWN, label.endswith(OR_MORE), not label.startswith(BELOW), label
