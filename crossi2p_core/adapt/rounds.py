"""The rounds: calibrate with the network as it is, teach it the answer, and again until the answer stands still."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from ..calibrate.frames import Read
from ..calibrate.observability import sigmas
from ..calibrate.run import calibrate
from ..calibration_file import Extrinsic, read_extrinsic, write_calibration
from ..config import load_config
from ..errors import InputError
from ..geometry import se3
from ..geometry.pose_covariance import SAME
from ..registrar import Registrar
from ..safe_yaml import read_json
from ..train import checkpoint
from ..train.assemble import assemble
from ..train.config import SourceConfig, TrainConfig
from ..train.distributed import World
from ..types import Prior
from ..weights import find_weights
from .config import AdaptConfig

Say = Callable[[str], None]
ASKED, LARGEST = "asked.json", 16 * 1024 * 1024  # in the folder of the rounds, and bytes


class Stopped(Exception):
    """A signal ended the training of a round; it goes on from its checkpoint. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


@dataclass(frozen=True)
class Round:
    """One round. extrinsic: what the frames agreed on with the network as it was. weights: what it learned from it,
    None where the answer stood still and nothing was learned. moved_sigmas: from the round before, NaN in the first."""

    number: int
    extrinsic: Extrinsic
    weights: Path | None
    moved_sigmas: float

    def told(self) -> dict[str, Any]:
        """For JSON."""
        degrees, metres = sigmas(_covariance(self.extrinsic), self.extrinsic.T_cam_lidar)
        return {"round": self.number, "status": self.extrinsic.status, "reason": self.extrinsic.reason,
                "T_cam_lidar": self.extrinsic.T_cam_lidar, "sigma_deg": degrees, "sigma_cm": 100 * metres,
                "moved_sigmas": self.moved_sigmas, "weights": None if self.weights is None else str(self.weights)}


def adapt(read: Read, learn_from: SourceConfig, prior: Prior | None, weights: Path, out: Path, world: World,
          config: AdaptConfig, say: Say) -> list[Round]:
    """Calibrate and learn in turn, in folders `round_1`, ... of `out`; what is there already is not done again.

    read: frames of one rig. learn_from: all of its frames, as a training run names them. prior: where the camera is
    about; None: nobody knows. Ends before `config.rounds` where the answer stands still. Raises InputError
    where no round can agree on an extrinsic, or where `out` is of another drive or other settings, and Stopped.
    """
    checkpoint.load(weights, training=False)  # what cannot be read is said before anything is begun
    _claim(out, _asked(read, learn_from, prior, weights, config))
    rounds = list[Round]()
    for number in range(1, config.rounds + 1):
        folder = out / f"round_{number}"
        # 1. what the frames agree on, with the network as it is by now
        say(f"round {number}: calibrating with {weights}")
        extrinsic = _calibrated(read, learn_from.path, prior, weights, folder / "extrinsic.yaml", world, config)
        moved = _moved(rounds[-1].extrinsic, extrinsic) if rounds else float("nan")
        say(f"round {number}: {extrinsic.status}; {extrinsic.reason}")
        # 2. nothing new is nothing to learn
        if moved < SAME:
            rounds.append(Round(number, extrinsic, None, moved))
            break
        # 3. the network learns that this is so
        settings = _settings(weights, learn_from, folder, config)
        outcome = assemble(settings, world).run()
        if not outcome.finished:
            raise Stopped(outcome.signal or 15)
        found = checkpoint.latest(folder / "train" / "checkpoints")
        assert found is not None
        weights = found
        rounds.append(Round(number, extrinsic, weights, moved))
    return rounds


def _asked(read: Read, learn_from: SourceConfig, prior: Prior | None, weights: Path,
           config: AdaptConfig) -> dict[str, Any]:
    """What the rounds rest on, in plain values, wherever the drive lies by now."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("rounds", "workers")}
    start = None if prior is None else [np.asarray(prior.T_cam_lidar).tolist(), prior.max_deg, prior.max_m]
    first, network = read.samples[0], (find_weights(weights) or weights).with_suffix(".safetensors")
    return {"frames": [learn_from.frames, *(sample.name for sample in read.samples)], "camera": learn_from.camera,
            "drive": _digest(first.image.tobytes(), first.cloud.xyz.tobytes()), "start": start,
            "weights": _digest(network.read_bytes()), "settings": settings}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _claim(out: Path, asked: dict[str, Any]) -> None:
    """Write what is asked into a folder that holds no answer yet. Raises InputError where it holds those to something
    else: they would be handed on as the answer."""
    file, plain = out / ASKED, json.loads(json.dumps(asked))
    if not file.exists() or not (out / "round_1" / "extrinsic.yaml").exists():
        atomic.write_text(file, json.dumps(asked, indent=1))
        return
    before = read_json(file, LARGEST)
    if before != plain:
        others = [name for name in plain if not isinstance(before, dict) or before.get(name) != plain[name]]
        raise InputError(f"{out} holds the rounds of another adaptation (see {file}: {', '.join(others)}); choose "
                         "another --out, or remove it")


def _calibrated(read: Read, recording: str, prior: Prior | None, weights: Path, file: Path, world: World,
                config: AdaptConfig) -> Extrinsic:
    """From the file where an earlier run left it; else computed, and left there."""
    if file.is_file():
        return read_extrinsic(file)
    registrar = Registrar(device=str(world.device), weights=weights)
    found = calibrate(read, prior, registrar, config.calibrate, lambda *_: None)
    if found.doubt:  # what it would learn might be the street behind
        raise InputError(f"it is in doubt where the camera is, and that is not to be learned: {found.doubt}; or give "
                         "--init")
    if found.verdict.status == "failed":
        raise InputError(f"the frames do not agree on an extrinsic ({found.verdict.reason}); give --init or --search "
                         "closer to the truth, or weights that were trained longer")
    extrinsic = Extrinsic(found.T_cam_lidar, "camera", "lidar", found.covariance, found.verdict.status,
                          found.verdict.reason, f"{len(found.used)} frames of {recording}")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_calibration(file, extrinsic)
    return extrinsic


def _settings(weights: Path, learn_from: SourceConfig, folder: Path, config: AdaptConfig) -> TrainConfig:
    """The run that the weights come from, with this drive to learn from, and what is to be learned beside it."""
    before = load_config(TrainConfig, checkpoint.load(weights, training=False).config)
    return replace(
        before, out=str(folder / "train"), weights=str(weights), image_weights=None, validation=(),
        teacher=None, labels="recorded",  # what the frames agreed on, not what somebody else thinks
        sources=(replace(learn_from, extrinsic=str(folder / "extrinsic.yaml")), *config.beside), steps=config.steps,
        batch=config.batch, accumulate=1, lr=config.lr, warm_up=min(config.warm_up, config.steps - 1), ema=config.ema,
        workers=config.workers, seed=config.seed, checkpoint_every=max(50, config.steps // 4), keep=1,
        gradnorm=replace(before.gradnorm, pose_from_step=0), augment=replace(before.augment, shift_grows_over=0))


def _moved(before: Extrinsic, now: Extrinsic) -> float:
    """Sigmas of six numbers between two rounds."""
    xi = se3.log_se3(now.T_cam_lidar @ se3.inverse(before.T_cam_lidar))
    return float(np.sqrt(xi @ np.linalg.solve(_covariance(now), xi)))


def _covariance(extrinsic: Extrinsic) -> np.ndarray:
    """(6, 6); a file without one, such as a user's own, is asked for."""
    if extrinsic.covariance is None:
        raise InputError("an extrinsic.yaml of an earlier round has no covariance; remove its folder and start again")
    return extrinsic.covariance


def write_report(out: Path, rounds: Sequence[Round], plain: Callable[[Any], Any]) -> None:
    """`report.json`, and the last extrinsic as `extrinsic.yaml`."""
    write_calibration(out / "extrinsic.yaml", rounds[-1].extrinsic)
    atomic.write_text(out / "report.json", json.dumps(plain({"rounds": [one.told() for one in rounds]}), indent=1,
                                                      allow_nan=False))
