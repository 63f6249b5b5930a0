"""Can the network learn, from the image? `python -m benchmarks.overfit SETTINGS [--flow FLOW_SETTINGS]`

SETTINGS: those of a training run (`crossi2p train`). Its best checkpoint answers protocol A on the frames that it was
trained on, with virtual cameras and transforms of the scan that it has never seen; beside every figure stands the same
with a wrong image. FLOW_SETTINGS: those of a run with `task: flow`, whose best checkpoint then goes on from the
answers. Writes `protocol_a.json` into the run's folder.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crossi2p_core import atomic
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.selection import select_view
from crossi2p_core.errors import InputError
from crossi2p_core.flow_aligner import load_flow_network
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import Batch, collate
from crossi2p_core.model.flow_inputs import make_flow_batch
from crossi2p_core.model.flow_network import FlowNetwork
from crossi2p_core.model.network import Network
from crossi2p_core.solve.from_flow import approach
from crossi2p_core.solve.from_matches import poses_from_matches
from crossi2p_core.train import checkpoint
from crossi2p_core.train.config import TrainConfig
from crossi2p_core.train.examples import Examples, MakeBatch, NetworkInput
from crossi2p_core.train.frames import Frames
from crossi2p_core.train.matching import MatchingTask, with_wrong_image
from crossi2p_core.train.read_config import read_config
from crossi2p_core.types import Sample

FRESH_SEED = 10_007  # of transforms that no training run has used
ROUNDS = 4  # fresh transforms per frame
LIMITS = {"A": (5.0, 2.0), "asked": (1.0, 0.3)}  # deg, m


def main(path: str, flow: str | None) -> None:
    """Measure, print and write."""
    settings = read_config(path)
    network, step = trained(settings)
    nearer = None if flow is None else trained_flow(flow, settings)
    rows = [row for round_ in fresh_rounds(settings) for row in judged(network, nearer, round_)]
    result = {"settings": path, "flow": flow, "step": step, "rows": rows}
    for image in ("right", "wrong"):
        result[f"{image} image"] = summary([row[image] for row in rows])
        if nearer is not None:
            result[f"{image} image, flow"] = summary([row[f"{image}, flow"] for row in rows])
    atomic.write_text(Path(settings.out) / "protocol_a.json", json.dumps(result, indent=1))
    for row in rows:
        print(f"{row['frame']:>12}  recall {row['recall']:.2f}  " + "   ".join(
            f"{name} {errors[0]:6.2f} deg {errors[1]:6.2f} m" for name, errors in row.items()
            if name not in ("frame", "recall")))
    print(json.dumps({name: value for name, value in result.items() if name == "step" or "image" in name}, indent=1))


def best_of(settings: TrainConfig) -> Path:
    """The best checkpoint of a run."""
    folder = Path(settings.out) / "checkpoints"
    found = checkpoint.best(folder)
    if found is None:
        raise InputError(f"{folder} has no checkpoint; run crossi2p train first")
    return found


def trained(settings: TrainConfig) -> tuple[Network, int]:
    """The best network of a run, and after how many steps it was taken."""
    found = best_of(settings)
    kept = checkpoint.load(found, training=False)
    network = Network(settings.network).eval()
    checkpoint.load_weights(network, kept.weights, str(found))
    return network, kept.step


def trained_flow(path: str, settings: TrainConfig) -> FlowNetwork:
    """The best network of the run with `task: flow`. Raises InputError where its images are not those of the other."""
    flow = load_flow_network(best_of(read_config(path))).eval()
    if flow.config.size != settings.network.size:  # it is given the images that the other was asked with
        raise InputError(f"{path}: the flow network takes images of {flow.config.size}, the matching network of "
                         f"{settings.network.size}, height and width; train both at one size")
    return flow


@dataclass(frozen=True)
class Round:
    """Every frame of the run once, as `batch`, so that a wrong image is another frame's."""

    settings: TrainConfig
    frames: Frames
    positions: range
    batch: Batch

    @property
    def names(self) -> list[str]:
        """Of the frames."""
        where = [next(iter(self.frames.candidates(position))) for position in self.positions]
        return [self.frames.sources[source].names[index] for source, index in where]

    def examples(self, make_batch: MakeBatch) -> Examples:
        """The same examples in another form."""
        changes = replace(self.settings.augment, shift_grows_over=0)
        return Examples(self.frames, make_batch, self.settings.network.size, changes)


def fresh_rounds(settings: TrainConfig) -> list[Round]:
    """ROUNDS rounds."""
    sources = [select_view(open_source(one.path, camera=one.camera), one.frames) for one in settings.sources]
    frames = Frames(sources, [1.0] * len(sources), FRESH_SEED, 2 * 10**9)
    examples = Examples(frames, NetworkInput(settings.network), settings.network.size,
                        replace(settings.augment, shift_grows_over=0), control=True)
    every = range(ROUNDS * frames.epoch_length)
    rounds = [every[first:first + frames.epoch_length] for first in every[::frames.epoch_length]]
    return [Round(settings, frames, positions, collate([_batch(examples, position) for position in positions]))
            for positions in rounds]


def _batch(examples: Examples, position: int) -> Batch:
    """Of the frame at this position; InputError where it would be another's, that one being passed over."""
    made = examples[position]
    if isinstance(made, InputError):
        raise made
    if made.left_out:
        raise InputError("; ".join(made.left_out))
    return made.batch


@torch.no_grad()
def judged(network: Network, flow: FlowNetwork | None, round_: Round) -> list[dict]:
    """Errors of each pair with its own and with a wrong image: geodesic deg and m; coarse recall with its own."""
    batch, rows = round_.batch, [{"frame": name} for name in round_.names]
    for image, asked in (("right", batch), ("wrong", with_wrong_image(batch))):
        found = poses_from_matches(network(asked), asked, network.config.grid).T
        for row, error in zip(rows, _errors(found, batch), strict=True):
            row[image] = error
        if flow is not None:
            nearer = _nearer(flow, round_, found, asked.image)
            for row, error in zip(rows, _errors(nearer, batch), strict=True):
                row[f"{image}, flow"] = error
    recall = float(MatchingTask(network.config).judge(network, batch)["coarse_recall"])
    return [{**row, "recall": recall} for row in rows]


def _nearer(flow: FlowNetwork, round_: Round, T: Tensor, images: Tensor) -> Tensor:
    """Poses (B, 4, 4) from answers T on, of the same scans and of the images (B, C, H, W) that were asked with; the
    points are chosen by the answers, and an answer that sees nothing of the scan stays what it is."""
    found = []
    for position, rough, image in zip(round_.positions, T, images, strict=True):
        def make(sample: Sample, rng: np.random.Generator, rough: Tensor = rough) -> Batch:
            return make_flow_batch(sample, flow.config, rough.double().numpy(), rng)
        try:
            batch = replace(_batch(round_.examples(make), position), image=image[None])
            found.append(approach(flow, batch, rough[None])[0].T[0])
        except InputError:
            found.append(rough)
    return torch.stack(found)


def _errors(T: Tensor, batch: Batch) -> list[tuple[float, float]]:
    assert batch.T_cam_lidar is not None
    return [(float(se3.rotation_error_deg(one, truth)), float(se3.translation_error_m(one, truth)))
            for one, truth in zip(T.double().numpy(), batch.T_cam_lidar.double().numpy(), strict=True)]


def summary(errors: list[tuple[float, float]]) -> dict[str, float]:
    """Medians, 90th percentiles, and the share within each of LIMITS, over all pairs."""
    deg, metres = np.array(errors).T
    told = {"deg median": np.median(deg), "deg p90": np.percentile(deg, 90), "m median": np.median(metres),
            "m p90": np.percentile(metres, 90)}
    told |= {f"share {name}": np.mean((deg < limit[0]) & (metres < limit[1])) for name, limit in LIMITS.items()}
    return {name: round(float(value), 3) for name, value in told.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings")
    parser.add_argument("--flow")
    given = parser.parse_args()
    main(given.settings, given.flow)
