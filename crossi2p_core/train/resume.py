"""What may differ between a checkpoint and the run that goes on from it."""

from __future__ import annotations

from typing import Any

import yaml

from ..config import dump_config
from ..errors import InputError
from .checkpoint import Checkpoint
from .config import TrainConfig

_PLACE = ("out", "workers", "cache_mb", "keep", "checkpoint_every", "compile")  # where and how, not what


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """The settings as what JSON can hold."""
    return yaml.safe_load(dump_config(config))


def say_differences(found: Checkpoint, config: TrainConfig, fingerprint: str, where: str) -> list[str]:
    """Sentences on what is not as it was: the run goes on, but not as it would have.

    Raises InputError for another network: its weights would not fit.
    """
    before, now = {"task": "matches"} | flat(found.config), flat(plain_config(config))
    shape = "task", "flow." if config.task == "flow" else "network."  # names whose change is another network
    changed = [name for name in sorted(before.keys() | now.keys())
               if before.get(name) != now.get(name) and name.partition(".")[0] not in _PLACE]
    for name in changed:
        if name.startswith(shape):
            raise InputError(f"{where} has {name}={before.get(name)}, this run wants {now.get(name)}; give it another "
                             "out, or the network of the checkpoint")
    sentences = [f"{name} is {now.get(name)} from here on, it was {before.get(name)}" for name in changed]
    if found.fingerprint != fingerprint:
        sentences.append("the frames are not those of before")
    return sentences


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists by dotted names."""
    if isinstance(values, dict):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list):
        items = [(str(number), value) for number, value in enumerate(values)]
    else:
        return {prefix.rstrip("."): values}
    return {name: value for key, part in items for name, value in flat(part, f"{prefix}{key}.").items()}
