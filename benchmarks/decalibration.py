"""Is the present calibration good? `python -m benchmarks.decalibration DATA`

Area under the ROC curve of `doubt_before` between the recorded extrinsic and the same turned and moved by exactly so
much: 0.25 deg, 5 cm, and 0.5 deg with 5 cm. For one frame and for ten of one recording; the result goes into
`docs/results.md`.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.refine.objective import FrameProblem, seen_from
from crossi2p_core.refine.prepare import prepare_frame
from crossi2p_core.refine.present import doubt
from crossi2p_core.types import Prior, Sample

from .page import replace_between
from .refinement import JOINT_SOURCES, TABLE

_LEVELS = ((0.25, 0.0), (0.0, 5.0), (0.5, 5.0))  # deg, cm
_CONFIG = RefineConfig()
_CPU = torch.device("cpu")
_PROBLEMS: dict[int, FrameProblem] = {}  # about 30 MB a frame


def main(data: str) -> None:
    """Measure all levels, print and write the table."""
    lines = ["| decalibrated by | frames | cases | AUC |", "|---|---|---|---|"]
    recordings = [_usual_rig(list(open_source(f"{data}/{name}"))) for name in JOINT_SOURCES]
    for count in (1, 10):
        groups = [group for samples in recordings for group in _groups(samples, count)]
        good = [_doubt(group, group[0].T_cam_lidar) for group in groups]
        for deg, cm in _LEVELS:
            bad = [_doubt(group, _moved(group[0].T_cam_lidar, deg, cm, seed)) for seed, group in enumerate(groups)]
            lines.append(f"| {deg:g} deg, {cm:g} cm | {count} | {len(groups)} | {_auc(bad, good):.3f} |")
            print(lines[-1], flush=True)
    replace_between(TABLE, "decalibration", "\n".join(lines))


def _usual_rig(samples: list[Sample]) -> list[Sample]:
    """The samples of the rig that has the most."""
    rigs = [s.rig for s in samples]
    usual = max(set(rigs), key=rigs.count)
    return [s for s in samples if s.rig == usual]


def _groups(samples: list[Sample], count: int) -> list[list[Sample]]:
    """Each frame for itself, or random groups of ten, as many as there are frames to a third."""
    if count == 1:
        return [[s] for s in samples]
    rng = np.random.default_rng(count)
    return [[samples[i] for i in rng.permutation(len(samples))[:count]] for _ in range(len(samples) // 3)]


def _moved(T: np.ndarray, deg: float, cm: float, seed: int) -> np.ndarray:
    """T turned by exactly deg about a random axis and moved by exactly cm in a random direction."""
    axis, direction = (v / np.linalg.norm(v) for v in np.random.default_rng(seed).normal(size=(2, 3)))
    moved = T.copy()
    moved[:3, :3] = se3.exp_so3(np.radians(deg) * axis) @ T[:3, :3]
    moved[:3, 3] += cm / 100 * direction
    return moved


def _doubt(samples: list[Sample], T_cam_lidar: np.ndarray) -> float:
    """The judged quantity, as `Registrar` reports it."""
    T = torch.from_numpy(T_cam_lidar)
    return doubt([seen_from(_prepared(sample), T) for sample in samples], T, _CONFIG.image.scales_px[0], _CONFIG.seed)


def _prepared(sample: Sample) -> FrameProblem:
    """The sample's edges and maps, made once: the levels are too small to change which edges come into view."""
    if id(sample) not in _PROBLEMS:
        _PROBLEMS[id(sample)] = prepare_frame(sample, Prior(sample.T_cam_lidar, 0.5, 0.05), _CONFIG, _CPU)
    return _PROBLEMS[id(sample)]


def _auc(bad: list[float], good: list[float]) -> float:
    """Chance that a bad case has the larger value, ties half (Mann and Whitney 1947)."""
    a, b = np.array(bad)[:, None], np.array(good)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


if __name__ == "__main__":
    main(sys.argv[1])
