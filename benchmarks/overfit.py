"""Can the network learn, from the image? `python -m benchmarks.overfit SETTINGS [key=value ...]`

SETTINGS: those of a training run (`crossi2p train`). Its best checkpoint answers protocol A on the frames that it was
trained on, with virtual cameras and transforms of the scan that it has never seen; beside every figure stands the same
with a wrong image. Writes `protocol_a.json` into the run's folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from crossi2p_core import atomic
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.selection import select_view
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import Batch, collate
from crossi2p_core.model.network import Network
from crossi2p_core.solve.from_matches import poses_from_matches
from crossi2p_core.train import checkpoint
from crossi2p_core.train.config import TrainConfig
from crossi2p_core.train.examples import Example, Examples, NetworkInput
from crossi2p_core.train.frames import Frames
from crossi2p_core.train.matching import MatchingTask, with_wrong_image
from crossi2p_core.train.read_config import read_config

FRESH_SEED = 10_007  # of transforms that no training run has used
ROUNDS = 4  # fresh transforms per frame
LIMITS = {"A": (5.0, 2.0), "asked": (1.0, 0.3)}  # deg, m


def main(path: str, changes: list[str]) -> None:
    """Measure, print and write."""
    settings = read_config(path, changes)
    network, step = trained(settings)
    rows = [row for batch, names in fresh_batches(settings) for row in judged(network, batch, names)]
    result = {"settings": path, "step": step, "rows": rows,
              "right image": summary([row["right"] for row in rows]),
              "wrong image": summary([row["wrong"] for row in rows])}
    atomic.write_text(Path(settings.out) / "protocol_a.json", json.dumps(result, indent=1))
    for row in rows:
        print("{frame:>12}  recall {recall:.2f}  right {right[0]:6.2f} deg {right[1]:6.2f} m   "
              "wrong {wrong[0]:6.2f} deg {wrong[1]:6.2f} m".format(**row))
    print(json.dumps({name: result[name] for name in ("step", "right image", "wrong image")}, indent=1))


def trained(settings: TrainConfig) -> tuple[Network, int]:
    """The best network of a run, and after how many steps it was taken."""
    folder = Path(settings.out) / "checkpoints"
    found = checkpoint.best(folder) or checkpoint.latest(folder)
    if found is None:
        raise InputError(f"{folder} has no checkpoint; run crossi2p train first")
    kept = checkpoint.load(found, training=False)
    network = Network(settings.network).eval()
    checkpoint.load_weights(network, kept.weights, str(found))
    return network, kept.step


def fresh_batches(settings: TrainConfig) -> list[tuple[Batch, list[str]]]:
    """Every frame of the run ROUNDS times, a batch per round, so that a wrong image is another frame's."""
    sources = [select_view(open_source(one.path, camera=one.camera), one.frames) for one in settings.sources]
    frames = Frames(sources, [1.0] * len(sources), FRESH_SEED, 2 * 10**9)
    changes = replace(settings.augment, shift_grows_over=0)
    examples = Examples(frames, NetworkInput(settings.network), settings.network.size, changes)
    batches = []
    for first in range(0, ROUNDS * frames.epoch_length, frames.epoch_length):
        positions = range(first, first + frames.epoch_length)
        made = [examples[position] for position in positions]
        where = [next(iter(frames.candidates(position))) for position in positions]
        batches.append((collate([each.batch for each in made if isinstance(each, Example)]),
                        [sources[source].names[index] for source, index in where]))
    return batches


@torch.no_grad()
def judged(network: Network, batch: Batch, names: list[str]) -> list[dict]:
    """Errors of each pair with its own and with a wrong image: geodesic deg and m; coarse recall with its own."""
    task = MatchingTask(network.config)
    answers = []
    for each in (batch, with_wrong_image(batch)):
        found = poses_from_matches(network(each), each, network.config.grid).T
        assert batch.T_cam_lidar is not None
        answers.append([(float(se3.rotation_error_deg(T, truth)), float(se3.translation_error_m(T, truth)))
                        for T, truth in zip(found.double().numpy(), batch.T_cam_lidar.double().numpy(), strict=True)])
    recall = float(task.judge(network, batch)["coarse_recall"])
    return [{"frame": name, "right": right, "wrong": wrong, "recall": recall}
            for name, right, wrong in zip(names, *answers, strict=True)]


def summary(errors: list[tuple[float, float]]) -> dict[str, float]:
    """Medians, 90th percentiles, and the share within each of LIMITS, over all pairs."""
    deg, metres = np.array(errors).T
    told = {"deg median": np.median(deg), "deg p90": np.percentile(deg, 90), "m median": np.median(metres),
            "m p90": np.percentile(metres, 90)}
    told |= {f"share {name}": np.mean((deg < limit[0]) & (metres < limit[1])) for name, limit in LIMITS.items()}
    return {name: round(float(value), 3) for name, value in told.items()}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
