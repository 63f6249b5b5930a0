"""How near do edges alone hold a frame? `python -m benchmarks.local_precision DATA`, a minute on one core.

Each frame's climb begins at the recorded extrinsic, with the weak prior of a start 10 deg / 50 cm off: about what a
perfect search from such a start could gain. Cheap enough to choose edges and maps by (docs/learning.md, "What limits a
single frame"): half of the KITTI frames, so that the others stay unseen, and the other rigs.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.refine.climb import Bounds
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.refine.objective import seen_from
from crossi2p_core.refine.prepare import Unusable, prepare_frame
from crossi2p_core.refine.search import driving_too, fine_search, settle
from crossi2p_core.types import Prior, Sample

SOURCES = {"compact/kitti_stereo2015": slice(1, None, 2), "compact/kitti_raw_drive": slice(1, None, 4),
           "compact/kitti_object_training": slice(None), "rigs": slice(None)}
WIDE = 10.0, 0.5  # deg, m
LIMIT = 0.5, 5.0  # deg, cm
LEAST = 0.03, 0.5  # deg, cm: smaller errors are as good, in geometric means


def main() -> None:
    """A line per recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    for name, part in SOURCES.items():
        source = open_source(f"{data}/{name}")
        found = [ends_at(source[i], RefineConfig()) for i in range(len(source))[part]]
        errors = np.array([error for error in found if error is not None])
        means = np.exp(np.log(np.maximum(errors, LEAST)).mean(axis=0))
        print(f"{name}: {len(errors)} of {len(found)} frames, geometric means {means[0]:.2f} deg / {means[1]:.1f} cm, "
              f"{100 * (errors < LIMIT).all(axis=1).mean():.0f} % within {LIMIT[0]} deg / {LIMIT[1]:g} cm", flush=True)


def ends_at(sample: Sample, config: RefineConfig) -> tuple[float, float] | None:
    """Errors (degrees, centimetres) of where the climb from the recorded extrinsic ends; None for a useless frame."""
    truth = np.asarray(sample.T_cam_lidar)
    try:
        frame = prepare_frame(sample, Prior(truth, 2.0, 0.2), config, torch.device("cpu"))
    except Unusable:
        return None
    T, bounds = torch.from_numpy(truth).double(), Bounds(WIDE[0], 10 * WIDE[1], config.search.prior)
    frames, asked = [seen_from(frame, T)], (bounds, config.search, config.image.scales_px, config.drive)
    at = fine_search(frames, T, driving_too(T[None], 1, config.drive), *asked)
    at, _ = settle(frames, T, at, *asked)
    end = at.T[0].numpy()
    return float(se3.rotation_error_deg(end, truth)), 100 * float(se3.translation_error_m(end, truth))


if __name__ == "__main__":
    main()
