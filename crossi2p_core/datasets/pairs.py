"""A folder of pairs: what anybody can write by hand - image, cloud, calibration.

Either a folder per pair with `image.*`, `cloud.*`, `calib.json`, or one folder with NAME.jpg, NAME.bin, NAME.json. In
both, one `calib.json` beside the pairs serves those that have none of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..types import Sample
from .clouds import FORMATS, read_cloud
from .images import read_image
from .json_values import read_camera, read_number, read_object, read_transform
from .pairing import gap_notes
from .rigs import rig_label
from .source import Source, camera_words

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
CALIBRATION = "calib.json"


@dataclass(frozen=True)
class Pair:
    """The files of one pair."""

    name: str
    image: Path
    cloud: Path
    calibration: Path


def matches(path: Path) -> bool:
    """A pair, a folder of pair folders, or a flat folder of NAME.jpg and NAME.bin with any calibration."""
    if not path.is_dir():
        return False
    if _pair_folder(path) or any(_pair_folder(child) for child in _folders(path)):
        return True
    return any(pair.calibration.is_file() for pair in _flat(path))


class PairsSource(Source):
    """Pairs, sorted by name; pairs of equal calibration have the same `rig`.

    calib.json: `K` (3x3), `width`, `height` (default: the image's), `D` and `distortion_model` (default: none),
    `T_cam_lidar` (4x4, optional: unknown), `T_world_lidar`, `stamp_image`, `stamp_cloud` (optional). The cloud is any
    format of `read_cloud`. Raises InputError for anything unusable.
    """

    kind = "pairs"

    def __init__(self, path: Path) -> None:
        path = Path(path)
        single = _pair_folder(path)
        below = [] if single else [pair for pair in map(_pair_folder, _folders(path)) if pair]
        self._pairs = [single] if single else sorted(below, key=lambda pair: pair.name) or _flat(path)
        lonely = set[str]() if single or below else {name for name, cloud in _images(path).items() if cloud is None}
        self._notes = gap_notes(lonely, set[str]())
        super().__init__(path, [pair.name for pair in self._pairs])

    def _load(self, index: int) -> Sample:
        pair = self._pairs[index]
        image = read_image(pair.image)
        calibration = read_object(pair.calibration)
        camera = read_camera(calibration, str(pair.calibration), (image.shape[1], image.shape[0]))
        T_cam_lidar, T_world_lidar = (
            read_transform(calibration.get(key), f"{key} in {pair.calibration}")
            for key in ("T_cam_lidar", "T_world_lidar"))
        stamp_image, stamp_cloud = (
            read_number(calibration.get(key), f"{key} in {pair.calibration}") for key in ("stamp_image", "stamp_cloud"))
        return Sample(pair.name, image, camera, read_cloud(pair.cloud), T_cam_lidar, T_world_lidar, stamp_image,
                      stamp_cloud, rig_label("pairs", camera, T_cam_lidar))

    def _facts(self) -> dict[str, Any]:
        """The image is read only where the calibration does not tell its size."""
        cameras, known, poses = {}, True, True
        for index, pair in enumerate(self._pairs):
            calibration = read_object(pair.calibration)
            if "width" in calibration and "height" in calibration:
                camera = read_camera(calibration, str(pair.calibration))
            else:
                camera = self[index].camera
            T_cam_lidar = read_transform(calibration.get("T_cam_lidar"), f"T_cam_lidar in {pair.calibration}")
            cameras[rig_label("pairs", camera, T_cam_lidar)] = camera_words(camera)
            known &= T_cam_lidar is not None
            poses &= calibration.get("T_world_lidar") is not None
        facts = {"rigs": len(cameras), "cameras": cameras, "has_truth": known, "has_poses": poses}
        return facts | ({"notes": self._notes} if self._notes else {})


def _folders(path: Path) -> list[Path]:
    return [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]


def _pair_folder(path: Path) -> Pair | None:
    """The pair in a folder that holds image.* and cloud.*, else None."""
    image, cloud = _first_file(path, "image", IMAGE_ENDINGS), _first_file(path, "cloud", FORMATS)
    if image is None or cloud is None:
        return None
    calibration = _calibration(path / CALIBRATION, path.parent / CALIBRATION)
    name = os.path.basename(os.path.abspath(path))  # a link's own: two may lead to one folder
    return Pair(name or "pair", image, cloud, calibration)


def _flat(path: Path) -> list[Pair]:
    """Pairs NAME.jpg + NAME.bin that lie in one folder, sorted."""
    return [Pair(name, image, cloud, _calibration(path / f"{name}.json", path / CALIBRATION))
            for name, cloud in sorted(_images(path).items())
            if cloud is not None and (image := _first_file(path, name, IMAGE_ENDINGS)) is not None]


def _images(path: Path) -> dict[str, Path | None]:
    """The clouds beside the images of a flat folder, by name."""
    names = {file.stem for file in path.iterdir() if file.suffix.lower() in IMAGE_ENDINGS
             and not file.name.startswith(".")}
    return {name: _first_file(path, name, FORMATS) for name in names}


def _first_file(folder: Path, stem: str, endings: Sequence[str]) -> Path | None:
    files = [folder / f"{stem}{written}" for ending in endings for written in (ending, ending.upper())]
    return next((file for file in files if file.is_file()), None)


def _calibration(own: Path, shared: Path) -> Path:
    """The pair's own calibration, or the shared one; where neither exists, the own path, for the error message."""
    return own if own.is_file() or not shared.is_file() else shared
