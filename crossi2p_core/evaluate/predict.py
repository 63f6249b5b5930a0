"""Predictions, written pair by pair before anything is judged. What is written is not asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Source
from ..errors import InputError
from ..types import Prior, Sample
from .image_free import ImageFree
from .methods import NEAR_CONTROL, REFINE, Methods
from .pairs import Pair
from .protocols import Posed, Protocol, in_view, pose

IMAGES = ("right", "wrong")
IMAGE_FREE, START = "image-free", "start"  # what stands beside the methods, and has no image
NOT_APPLICABLE = "not applicable"  # status of the control where it has nothing to say, which is no score of 0
Prediction = dict[str, Any]


class Predictor:
    """Asks every method about a pair. bounds: (degrees, metres) of starts in protocol C."""

    def __init__(self, source: Source, protocol: Protocol, methods: Methods, control: ImageFree,
                 bounds: tuple[float, float]) -> None:
        self.source, self.protocol, self.methods = source, protocol, methods
        self.control, self.bounds = control, bounds

    def __call__(self, pair: Pair) -> Prediction:
        """Everything about a pair, ready for JSON; a frame that cannot be used is a failure with its reason."""
        told: Prediction = {"pair": pair.number, "frame": pair.name, "wrong": pair.wrong_name}
        try:
            posed = pose(self.protocol, pair, self.source[pair.frame], self._other(pair))
        except InputError as error:
            names = [*self.methods.run, IMAGE_FREE, *([START] if self.protocol.guessed else [])]
            return told | {"rig": "", "truth": None, "failed": str(error), "answers": [
                _failure(name, image, error) for name in names for image in _images_of(name)]}
        control = self._without_image(posed)
        answers = [control] if posed.start is None else [control, _start(posed)]
        prior = self._prior(posed, control)
        for image in IMAGES:
            sample = getattr(posed, image)
            recall = self._recall(sample)
            for name in self.methods.run:
                answers.append(self._ask(name, image, sample, prior) | {"recall": recall})
        return told | _about(posed.right) | {"failed": None, "answers": answers}

    def _other(self, pair: Pair) -> Sample | None:
        """Whose image is the wrong one; None, which mirrors the right one, where there is none or it is broken."""
        try:
            return None if pair.wrong_frame is None else self.source[pair.wrong_frame]
        except InputError:
            return None

    def _ask(self, name: str, image: str, sample: Sample, prior: Prior | None) -> dict[str, Any]:
        """One answer. Where the protocol gives no start, refine alone begins where the control without image ends."""
        try:
            if name == REFINE or self.protocol.guessed:
                return {"method": name, "image": image, **self.methods.run[name](sample, prior)}
            return {"method": name, "image": image, **self.methods.run[name](sample, None)}
        except InputError as error:
            return _failure(name, image, error)

    def _prior(self, posed: Posed, control: dict[str, Any]) -> Prior | None:
        if posed.start is not None:
            return Prior(posed.start, *self.bounds)
        T = control["T_cam_lidar"]
        return None if T is None else Prior(np.array(T), *NEAR_CONTROL)

    def _without_image(self, posed: Posed) -> dict[str, Any]:
        try:
            T = self.control.answer(posed.unmasked, self.protocol.moves)
        except InputError as error:
            return _failure(IMAGE_FREE, "none", error) | {"status": NOT_APPLICABLE}
        return {"method": IMAGE_FREE, "image": "none", "T_cam_lidar": T.tolist(), "status": "ok", "reason": ""}

    def _recall(self, sample: Sample) -> float | None:
        try:
            return self.methods.recall(sample)
        except InputError:
            return None


def predict(predictor: Predictor, pairs: Sequence[Pair], of: str, path: Path,
            advance: Callable[[int, int], None]) -> None:
    """Ask about `pairs` and append a line each to `path`; InputError where it cannot be written. of: their list's
    digest."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" if torn else "")
            for done, pair in enumerate(pairs, 1):
                file.write(json.dumps({"list": of} | predictor(pair), allow_nan=False) + "\n")
                file.flush()
                advance(done, len(pairs))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose a folder you may write to") from error


def read_predictions(folder: Path, of: str) -> list[Prediction]:
    """What all processes of all runs have written on the list of digest `of`, in the order of pairs, each once; torn
    lines are passed over."""
    found: dict[int, Prediction] = {}
    for path in sorted(folder.glob("predictions-*.jsonl")):
        for one in _whole_lines(path):
            if one.get("list") == of:
                found.setdefault(one["pair"], one)
    return [found[number] for number in sorted(found)]


def _whole_lines(path: Path) -> Iterator[Prediction]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("pair"), int) and isinstance(one.get("answers"), list):
            yield one


def _images_of(name: str) -> tuple[str, ...]:
    return ("none",) if name in (IMAGE_FREE, START) else IMAGES


def _failure(method: str, image: str, error: InputError) -> dict[str, Any]:
    status = NOT_APPLICABLE if method == IMAGE_FREE else "failed"  # nobody could have asked it
    return {"method": method, "image": image, "T_cam_lidar": None, "status": status, "reason": str(error)}


def _start(posed: Posed) -> dict[str, Any]:
    assert posed.start is not None
    return {"method": START, "image": "none", "T_cam_lidar": posed.start.tolist(), "status": "ok", "reason": ""}


def _about(sample: Sample) -> dict[str, Any]:
    """Truth, rig, share of the scan in the image, and median distance from the camera of what is there."""
    seen, distance = in_view(sample)
    return {"rig": sample.rig, "truth": np.asarray(sample.T_cam_lidar).tolist(), "overlap": float(seen.mean()),
            "distance_m": float(np.median(distance[seen])) if seen.any() else None}
