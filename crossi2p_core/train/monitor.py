"""Watches a run for the failures that the paper describes, and says in words what to do about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError

WINDOW = 200  # steps of the running means
PATIENCE = 600  # steps before anything is said
REPEAT = 2000  # steps until the same is said again

HIGH_LOSS, LOW_LOSS = 0.2, 0.5  # a loss is high, low where it has fallen by less, more than this share of its start
POOR_RECALL = 0.3
GOOD_RECALL = 0.6  # from here on the contrastive loss may rest
VANISHED = 0.02  # share of the other losses' gradient norm

ADVICE = {
    "global context missing":
        "the coarse loss has fallen by {coarse_fall:.0%} only while the fine loss has fallen by {fine_fall:.0%}: "
        "points are placed well within regions that are not found. Global context is missing; use more coarse layers "
        "or a larger batch, or give the alignment loss more time before pose_from_step",
    "contrastive gradient vanishing":
        "the gradient of the alignment loss is {share:.1%} of the others' at a coarse recall of {recall:.0%}: the "
        "shared space is no longer learned. GradNorm is misconfigured; raise gradnorm.alpha, lower gradnorm.lr, or use "
        "gradnorm.mode=fixed with a weight for alignment",
    "feature alignment suboptimal":
        "the pose loss has fallen by {pose_fall:.0%} at a coarse recall of {recall:.0%}: poses are learned without "
        "matches, perhaps the rig itself. Feature alignment is suboptimal; enter the pose loss later "
        "(gradnorm.pose_from_step), augment the extrinsic more, and check with wrong images",
}


class Monitor:
    """Running means of what a step reports, and the three failure signatures on them.

    It looks at `coarse_loss`, `fine_loss`, `pose` (losses), `coarse_recall`, and `gradient.NAME`, the norms of the
    weighted gradients; what a run does not report is not judged.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._means: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._starts: dict[str, float] = {}
        self._said: dict[str, int] = {}

    def observe(self, numbers: Mapping[str, float]) -> list[str]:
        """Take in the finite numbers of a step; returns sentences on what looks wrong, none as a rule."""
        self.steps += 1
        for name, value in numbers.items():
            if math.isfinite(value):
                self._take(name, value)
        if self.steps < PATIENCE:
            return []
        found = {name: facts for name, facts in self._signatures().items()
                 if self.steps - self._said.get(name, -REPEAT) >= REPEAT}
        self._said.update(dict.fromkeys(found, self.steps))
        return [f"{name}: {ADVICE[name].format(**facts)}" for name, facts in found.items()]

    def _take(self, name: str, value: float) -> None:
        """Means over the last WINDOW steps or so; the start of a series is its mean over the first tenth of that."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        former = self._means.get(name, 0.0)
        self._means[name] = former + (value - former) / min(count, WINDOW)
        if count <= WINDOW // 10:
            self._starts[name] = self._means[name]

    def _signatures(self) -> dict[str, dict[str, float]]:
        """The failures that show now, with the numbers that show them."""
        coarse, fine, pose = (self._fall(name) for name in ("coarse_loss", "fine_loss", "pose"))
        recall = self._settled("coarse_recall")
        share = self._contrastive_share()
        found = {}
        if coarse is not None and fine is not None and coarse < HIGH_LOSS and fine > LOW_LOSS:
            found["global context missing"] = {"coarse_fall": coarse, "fine_fall": fine}
        if share is not None and recall is not None and share < VANISHED and recall < GOOD_RECALL:
            found["contrastive gradient vanishing"] = {"share": share, "recall": recall}
        if pose is not None and recall is not None and pose > LOW_LOSS and recall < POOR_RECALL:
            found["feature alignment suboptimal"] = {"pose_fall": pose, "recall": recall}
        return found

    def _settled(self, name: str) -> float | None:
        """The running mean of a series that is long enough to mean something."""
        return self._means[name] if self._counts.get(name, 0) >= WINDOW else None

    def _fall(self, name: str) -> float | None:
        """By which share of its start a loss has fallen; also for one that runs below zero."""
        now = self._settled(name)
        start = self._starts.get(name, 0.0)
        return None if now is None or start == 0 else (start - now) / abs(start)

    def _contrastive_share(self) -> float | None:
        """Weighted gradient norm of the alignment loss over the mean of the others'."""
        own = self._settled("gradient.alignment")
        others = [value for name in self._means if name.startswith("gradient.") and name != "gradient.alignment"
                  and (value := self._settled(name)) is not None]
        mean = sum(others) / len(others) if others else 0.0
        return None if own is None or mean == 0 else own / mean

    def state(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"steps": self.steps, "means": dict(self._means), "counts": dict(self._counts),
                "starts": dict(self._starts), "said": dict(self._said)}

    def restore(self, state: Any, where: str) -> None:
        """Go on from `state()`. Raises InputError where `where` holds something else."""
        try:
            self.steps = int(state["steps"])
            self._means, self._starts = ({str(k): float(v) for k, v in state[part].items()}
                                         for part in ("means", "starts"))
            self._counts, self._said = ({str(k): int(v) for k, v in state[part].items()} for part in ("counts", "said"))
            known = self._means.keys() == self._counts.keys() == self._starts.keys()
            if not known or self._said.keys() - ADVICE.keys():
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: the state of the monitor is damaged; use an earlier checkpoint") from error
