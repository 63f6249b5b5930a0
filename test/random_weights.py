"""A checkpoint of a small network that has learned nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from test_network import SMALL

from crossi2p_core.config import dump_config
from crossi2p_core.model.network import Network
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.train.checkpoint import Checkpoint, save


def random_weights(folder: Path, config: dict | None = None) -> Path:
    """Written into `folder`. config: what the checkpoint says of itself, by default the truth."""
    torch.manual_seed(0)
    said = {"network": parse_yaml(dump_config(SMALL), "the settings")} if config is None else config
    return save(folder, Checkpoint(1, said, {}, "", Network(SMALL).state_dict(), {}, {}, None), keep=1)
