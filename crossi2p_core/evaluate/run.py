"""An evaluation from beginning to end: list of pairs, predictions, metrics, page. Shared by any number of processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import distributed

from .. import atomic
from ..datasets import Source
from ..errors import InputError
from ..train.distributed import World
from ..types import Sample
from ..viz.overlay import draw_overlay
from .image_free import ImageFree
from .methods import BOTH, NETWORK, REFINE, load_methods, named_flow, named_weights
from .metrics import Judged, all_metrics, judge
from .pairs import Pair, PairList, draw_pairs, read_pairs, write_pairs
from .predict import Predictor, predict, read_predictions
from .protocols import PROTOCOLS, draw, made_of, pose
from .report import write_page

CONTROL_FRAMES = 20  # that the control without image learns from


@dataclass(frozen=True)
class Wanted:
    """What is to be evaluated. weights: as of `find_weights`. bounds: (degrees, metres) of C's start. rounds: pairs per
    frame. train: where the control without image learns the rig; None: the source itself."""

    source: Source
    chosen: Sequence[int]
    protocol: str
    out: Path
    weights: Path | None = None
    refine: bool = True
    bounds: tuple[float, float] = (10.0, 0.25)
    rounds: int = 1
    seed: int = 0
    train: Source | None = None
    config: Path | None = None


def evaluate(wanted: Wanted, world: World, advance: Callable[[int, int], None]) -> dict[str, Any] | None:
    """Metrics, on the first process; None on the others.

    Raises InputError for what cannot be used, and where no pair has a true extrinsic.
    """
    protocol = PROTOCOLS[wanted.protocol]
    # 1. what is asked
    methods = load_methods(wanted.weights, wanted.refine, wanted.config, str(world.device))
    if world.is_first:
        write_pairs(wanted.out, list_pairs(wanted))
    _wait(world)
    asked = read_pairs(wanted.out)
    # 2. what is answered; each process has its share of what is left
    done = {one["pair"] for one in read_predictions(wanted.out, asked.digest)}
    left = [pair for pair in asked.pairs if pair.number not in done]
    _wait(world)  # all have read before anyone writes
    if left:
        control = ImageFree.learn(_readable(wanted.train or wanted.source))
        predictor = Predictor(wanted.source, protocol, methods, control, wanted.bounds)
        predict(predictor, left[world.rank::world.size], asked.digest,
                wanted.out / f"predictions-{world.rank}.jsonl", advance)
    _wait(world)
    # 3. how good that is
    return report(wanted, asked) if world.is_first else None


def list_pairs(wanted: Wanted) -> PairList:
    """The pairs, and what makes this evaluation another one than others; JSON in, JSON out, so that lists compare."""
    protocol = PROTOCOLS[wanted.protocol]
    weights = named_weights(wanted.weights, wanted.config)
    flow = None if weights is None else named_flow(wanted.config)
    about = {
        "protocol": wanted.protocol, "made_of": made_of(protocol) or None,
        "source": wanted.source.identity(), "seed": wanted.seed, "rounds": wanted.rounds,
        "bounds": list(wanted.bounds) if protocol.guessed else None, "refine": wanted.refine,
        "weights": None if weights is None else _digest(weights),
        "config": None if wanted.config is None else _digest(wanted.config),
        "control": None if wanted.train is None else wanted.train.identity()}
    about |= {} if flow is None else {"flow": _digest(flow.with_suffix(".safetensors"))}
    return PairList(about, draw_pairs(wanted.source.names, wanted.chosen, wanted.rounds, wanted.seed,
                                      lambda rng: draw(protocol, rng, wanted.bounds)))


def report(wanted: Wanted, asked: PairList) -> dict[str, Any]:
    """Metrics of what was predicted; writes `metrics.json` and `report.html`."""
    protocol = PROTOCOLS[wanted.protocol]
    predictions = read_predictions(wanted.out, asked.digest)
    if all(one["truth"] is None for one in predictions):
        raise InputError(f"no pair could be judged: {predictions[0]['failed']}")
    metrics: dict[str, Any] = {"about": asked.about} | all_metrics(predictions, protocol)
    atomic.write_text(wanted.out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False))
    main = next(name for name in (BOTH, NETWORK, REFINE) if name in metrics["methods"])
    pictures = _pictures(wanted, asked.pairs, main, judge(predictions)[main, "right"])
    shown = {name: value for name, value in asked.about.items() if value is not None}
    atomic.write_text(wanted.out / "report.html", write_page(metrics, protocol, shown, pictures))
    return metrics


def _pictures(wanted: Wanted, pairs: Sequence[Pair], method: str, judged: Judged) -> list[tuple[str, np.ndarray]]:
    """The best, the median and the worst answer of a method, each drawn on its image; by error in units of the
    limit."""
    protocol = PROTOCOLS[wanted.protocol]
    answered = np.flatnonzero(np.isfinite(judged.rre))
    error = judged.rre / protocol.limits[0][0] + judged.rte / protocol.limits[0][1]
    order = answered[np.argsort(error[answered], kind="stable")]
    drawn = []
    for title, place in (("best", 0), ("median", len(order) // 2), ("worst", -1)) if len(order) else ():
        one = judged.pairs[order[place]]
        T = next(a["T_cam_lidar"] for a in one["answers"] if a["method"] == method and a["image"] == "right")
        pair = pairs[one["pair"]]
        sample = pose(protocol, pair, wanted.source[pair.frame], None).right
        caption = (f"{title}: {one['frame']}, {method}, {judged.rre[order[place]]:.2f} deg, "
                   f"{judged.rte[order[place]]:.2f} m")
        drawn.append((caption, draw_overlay(sample.image, sample.camera, sample.cloud, np.array(T))))
    return drawn


def _readable(source: Source) -> list[Sample]:
    """Frames spread over a source, as many as the control needs; broken ones left out."""
    found = []
    for index in np.unique(np.linspace(0, len(source) - 1, CONTROL_FRAMES).round().astype(int)):
        try:
            found.append(source[int(index)])
        except InputError:
            continue
    return found


def _digest(path: Path) -> str:
    """A file's name and the beginning of its digest: the same name with other content is another one."""
    try:
        return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _wait(world: World) -> None:
    """Until all processes are here."""
    if world.size > 1:
        distributed.barrier()
