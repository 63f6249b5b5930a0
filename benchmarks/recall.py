"""How much of recordings do weights see? `python -m benchmarks.recall DATA WEIGHTS [WEIGHTS ...] [--seeds 0:3]`

The frames of DATA that no training touches, as `config/train/synthetic_more.yaml` validates: masked scans, a virtual
camera each, moved at random by each seed. Printed for all of them and for each source: superpixel recall within one
cell, and the same with another frame's image.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.selection import select_view
from crossi2p_core.matcher import load_network
from crossi2p_core.model.network import Network
from crossi2p_core.train.assemble import assemble
from crossi2p_core.train.config import SourceConfig, TrainConfig
from crossi2p_core.train.distributed import World
from crossi2p_core.train.read_config import read_config

SETTINGS = "config/train/synthetic_more.yaml"
DATA = "../shared/data"  # as the settings name it
BATCH = 3  # a wrong image is another one's of these


@dataclass(frozen=True)
class Recall:
    """Of superpixels, with the right image and with a wrong one, over so many frames."""

    frames: int
    right: float
    wrong: float


def main() -> None:
    """A line for each source, and one for all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    parser.add_argument("weights", nargs="+", help="checkpoints; default: the package's own")
    parser.add_argument("--seeds", default="0:3", help="range of seeds, 0:3 is 0 to 2")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(*map(int, asked.seeds.split(":")))
    for weights in asked.weights:
        network = load_network(weights).eval()
        for name, sources in groups(asked.data).items():
            found = recall(network, sources, seeds)
            print(f"{weights}, {name}: {found.frames} frames, {found.right:.3f}, wrong image {found.wrong:.3f}",
                  flush=True)


def groups(data: str) -> dict[str, tuple[SourceConfig, ...]]:
    """What no training touches below `data`, all together, where a wrong image may be another recording's, and by
    source."""
    every = tuple(replace(one, path=one.path.replace(DATA, data, 1)) for one in read_config(SETTINGS).validation)
    return {"all": every} | {Path(one.path).name: (one,) for one in every}


def recall(network: Network, sources: tuple[SourceConfig, ...], seeds: range) -> Recall:
    """Over as many frames as the sources have, moved as each seed says; the mean over seeds."""
    frames = sum(len(select_view(open_source(one.path, camera=one.camera), one.frames)) for one in sources)
    told = [_validated(network, replace(read_config(SETTINGS), network=network.config, sources=sources, weights=None,
                                        validation=sources, validation_frames=frames, batch=BATCH, workers=0,
                                        seed=seed)) for seed in seeds]
    right, wrong = (float(np.mean([one[name] for one in told]))
                    for name in ("coarse_recall", "coarse_recall_wrong_image"))
    return Recall(frames, right, wrong)


def _validated(network: Network, settings: TrainConfig) -> Mapping[str, float]:
    validate = assemble(settings, World()).validate
    assert validate is not None  # there are frames to validate by
    with torch.inference_mode():
        return validate(network)


if __name__ == "__main__":
    main()
