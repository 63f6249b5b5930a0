"""nuScenes in its native layout: JSON tables, samples/ and sweeps/; no devkit.

A scan and an image of one sample are taken up to 50 ms apart while the car drives, so their T_cam_lidar is not the
mounted extrinsic: the ego-motion between the two exposures is part of it, and it differs from frame to frame. Frames
with equal `rig` share one camera and one mounting, and their extrinsics agree up to that motion.

Opening v1.0-trainval reads sample_data.json and ego_pose.json once (together about 2 GB, some tens of seconds). Only
the rows in use are kept: about 2 kB per pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Camera, Sample
from . import nuscenes_tables as tables
from .clouds import read_cloud
from .images import read_image
from .nuscenes_tables import LIDAR, Capture, Sensor
from .pairing import pair_nearest
from .source import Source, camera_words

CLOUD_FIELDS = ("x", "y", "z", "intensity", "ring")
SWEEP_SLOP = 50_000  # microseconds: the LiDAR turns at 20 Hz and the cameras take 12 images a second
ALL = "all"


def matches(path: Path) -> bool:
    """True for a folder with v1.0-*/scene.json in it, and for that inner folder."""
    if not path.is_dir():
        return False
    inside = path.glob(f"{tables.VERSION_FOLDERS}/scene.json")
    return any(inside) or ((path / "scene.json").is_file() and (path / "sample_data.json").is_file())


@dataclass(frozen=True)
class Frame:
    """One scan and one image that belong together, and the name of the pair."""

    name: str
    scan: Capture
    image: Capture


class NuscenesSource(Source):
    """Frames of one version, by scene: `scene-0061/0003_CAM_FRONT` is the fourth key frame of that scene.

    camera: a channel such as CAM_FRONT, or `all`. version: see `nuscenes_tables.find_tables`. sweeps: every scan with
    the nearest image instead of key frames only, named `scene-0061/sweep-0012_CAM_FRONT`. scenes: names, in a list or
    separated by commas, to split by scene. Frames whose files are not on this disk are left out and counted in a note.
    """

    kind = "nuScenes"

    def __init__(self, path: str | Path, camera: str = "CAM_FRONT", version: str | None = None, sweeps: bool = False,
                 scenes: str | Sequence[str] | None = None) -> None:
        folder = tables.find_tables(Path(path), version)
        self.root = folder.parent
        self._sensors = tables.read_sensors(folder)
        channels = _choose_cameras(self._sensors.values(), camera, folder)
        captures = tables.read_captures(folder, self._sensors, {LIDAR, *channels}, sweeps)
        numbered = _scene_order(folder, scenes)
        pair = _pair_sweeps if sweeps else _pair_key_frames
        frames = sorted(pair(captures, self._sensors, numbered), key=lambda frame: frame.name)
        self.frames = _present(frames, self.root)
        self._left_out = len(frames) - len(self.frames)
        poses = {capture.ego_pose for frame in self.frames for capture in (frame.scan, frame.image)}
        super().__init__(path, [frame.name for frame in self.frames])
        self._poses = tables.read_ego_poses(folder, poses)

    def _load(self, index: int) -> Sample:
        frame = self.frames[index]
        lidar, sensor = self._sensors[frame.scan.sensor], self._sensors[frame.image.sensor]
        T_global_lidar = self._poses[frame.scan.ego_pose] @ lidar.T_ego_sensor
        T_global_cam = self._poses[frame.image.ego_pose] @ sensor.T_ego_sensor
        return Sample(
            name=frame.name,
            image=read_image(self.root / frame.image.filename),
            camera=self._camera(frame.image),
            cloud=read_cloud(self.root / frame.scan.filename, fields=CLOUD_FIELDS),
            T_cam_lidar=se3.inverse(T_global_cam) @ T_global_lidar,
            T_world_lidar=T_global_lidar,
            stamp_image=frame.image.stamp * 1e-6,
            stamp_cloud=frame.scan.stamp * 1e-6,
            rig=self._rig(frame.image),
        )

    def _camera(self, image: Capture) -> Camera:
        """Published images are undistorted: K alone describes them."""
        K = self._sensors[image.sensor].K
        if K is None:
            raise InputError(f"{self.root}: the camera of {image.filename} has no camera_intrinsic; "
                             "unpack the nuScenes metadata again")
        return Camera(K, image.width, image.height)

    def _rig(self, image: Capture) -> str:
        return f"{self._sensors[image.sensor].channel}/{image.sensor}"

    def _facts(self) -> dict[str, Any]:
        """Told from the tables alone, over all frames; cameras by channel, since every log has its own calibration."""
        rigs = {self._rig(frame.image): frame.image for frame in self.frames}
        channels = {self._sensors[image.sensor].channel: image for image in rigs.values()}
        notes = ["T_cam_lidar includes the ego-motion between scan and image, so it varies within a rig"]
        if self._left_out:
            notes.append(f"{self._left_out} frames are left out because their files are not here")
        return {
            "rigs": len(rigs),
            "cameras": {name: camera_words(self._camera(channels[name])) for name in sorted(channels)},
            "has_truth": True,
            "has_poses": True,
            "scenes": len({frame.name.partition("/")[0] for frame in self.frames}),
            "notes": notes,
        }


def _choose_cameras(sensors: Iterable[Sensor], camera: str, folder: Path) -> list[str]:
    present = sorted({sensor.channel for sensor in sensors if sensor.K is not None})
    if camera == ALL:
        return present
    if camera not in present:
        raise InputError(f"{folder} has no camera {camera!r}; choose one of {', '.join(present) or 'none'}, or {ALL}")
    return [camera]


def _scene_order(folder: Path, scenes: str | Sequence[str] | None) -> dict[str, tuple[str, int]]:
    """Per sample token its scene's name and its number in that scene, for the wanted scenes."""
    names = {token: name for token, name in tables.read_rows(folder / "scene.json", ("token", "name"))}
    wanted = set(names.values()) if scenes is None else _wanted_scenes(scenes, set(names.values()), folder)
    by_scene = defaultdict(list)
    for token, stamp, scene in tables.read_rows(folder / "sample.json", ("token", "timestamp", "scene_token")):
        if names.get(scene) in wanted:
            by_scene[names[scene]].append((stamp, token))
    return {token: (scene, number) for scene, samples in by_scene.items()
            for number, (_, token) in enumerate(sorted(samples))}


def _wanted_scenes(scenes: str | Sequence[str], present: set[str], folder: Path) -> set[str]:
    wanted = {name.strip() for name in (scenes.split(",") if isinstance(scenes, str) else scenes)}
    for name in sorted(wanted - present):
        near = get_close_matches(name, present, n=1)
        raise InputError(f"{folder} has no scene {name!r}" + (f"; did you mean {near[0]}?" if near else
                         f"; its {len(present)} scenes run from {min(present)} to {max(present)}"))
    return wanted


def _pair_key_frames(captures: Iterable[Capture], sensors: dict[str, Sensor],
                     numbered: dict[str, tuple[str, int]]) -> Iterator[Frame]:
    """Image and scan of one sample, which the annotation tables hold together."""
    by_sample: dict[str, dict[str, Capture]] = defaultdict(dict)
    for capture in captures:
        by_sample[capture.sample][sensors[capture.sensor].channel] = capture
    for token, (scene, number) in numbered.items():
        here = by_sample.get(token, {})
        scan = here.pop(LIDAR, None)
        for channel, image in here.items():
            if scan is not None:
                yield Frame(f"{scene}/{number:04d}_{channel}", scan, image)


def _pair_sweeps(captures: Iterable[Capture], sensors: dict[str, Sensor],
                 numbered: dict[str, tuple[str, int]]) -> Iterator[Frame]:
    """Every scan of a scene with the image nearest in time, each image once; numbers count the scene's scans."""
    streams: dict[str, dict[str, list[Capture]]] = defaultdict(lambda: defaultdict(list))
    for capture in captures:
        if capture.sample in numbered:
            streams[numbered[capture.sample][0]][sensors[capture.sensor].channel].append(capture)
    for scene, by_channel in streams.items():
        scans = sorted(by_channel.pop(LIDAR, []), key=lambda capture: capture.stamp)
        scan_stamps = np.array([scan.stamp for scan in scans], dtype=np.int64)
        for channel, images in by_channel.items():
            image_stamps = np.array([image.stamp for image in images], dtype=np.int64)
            for number, k in zip(*pair_nearest(scan_stamps, image_stamps, SWEEP_SLOP), strict=True):
                yield Frame(f"{scene}/sweep-{number:04d}_{channel}", scans[number], images[k])


def _present(frames: Iterable[Frame], root: Path) -> list[Frame]:
    """The frames whose files are on this disk: many people unpack a part of the archives only."""
    listed: dict[Path, set[str]] = {}

    def is_here(filename: str) -> bool:
        path = root / filename
        if path.parent not in listed:
            listed[path.parent] = {file.name for file in path.parent.iterdir()} if path.parent.is_dir() else set()
        return path.name in listed[path.parent]

    return [frame for frame in frames if is_here(frame.scan.filename) and is_here(frame.image.filename)]
