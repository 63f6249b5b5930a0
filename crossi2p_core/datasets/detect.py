"""Find out which layout a path has, and open it with the reader that knows it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ..errors import InputError
from .source import Collection, Source

# (module, class, what it looks for). Each module has `matches(path: Path) -> bool`, cheap and without side effects, and
# the class is called as Class(path, **options). More specific layouts come first. Modules are imported when needed.
READERS = (
    ("kitti_raw", "KittiRawSource", "a KITTI raw drive (image_02/data and velodyne_points/data)"),
    ("kitti_odometry", "KittiOdometrySource", "KITTI odometry (sequences/00/velodyne, calib.txt, times.txt)"),
    ("kitti_object", "KittiObjectSource", "KITTI object (training/image_2, velodyne, calib)"),
    ("compact", "CompactSource", "the compact layout (index.json, NAME.jpg, NAME.npz)"),
    ("pairs", "PairsSource", "pairs (a folder each of image, cloud, calib.json; or NAME.jpg, NAME.bin, NAME.json)"),
    ("nuscenes", "NuscenesSource", "nuScenes (v1.0-*/scene.json beside samples/)"),
    ("rosbag", "RosbagSource", "a ROS 2 bag (metadata.yaml, .mcap, .db3) or a ROS 1 .bag"),
)
SYNTHETIC = "synthetic:"
WHOLE = ("seed", "frames", "elsewhere", "every", "late")  # options of such an address that are whole numbers
SECONDS, FLAGS = ("slop",), ("rectified", "sweeps")  # of a recording's; all others are words
ENDINGS = (".mcap", ".db3", ".bag")  # of files that are a recording each
MAX_DEPTH = 3  # folders below the given one in which sources are looked for
MAX_FOLDERS = 2000  # a guard for paths such as the root of a disk


def open_source(path: str | Path, camera: str | None = None, **options: Any) -> Source:
    """Open whatever is at `path`: a recording, a folder of recordings, or `synthetic:street?seed=0&frames=10`.

    camera: which camera, in the recording's own terms (`image_03`, `CAM_FRONT`, an image topic); None is its default.
    options: passed on to the reader; a path may have them, too: `drive.mcap?cloud_topic=/top/points&slop=0.1`. Raises
    InputError, saying what was looked for, where nothing fits.
    """
    if not str(path):
        raise InputError("the source is empty; give a recording or a folder of recordings, or . for the folder here")
    given = {name: value for name, value in {"camera": camera, **options}.items() if value is not None}
    if str(path).startswith(SYNTHETIC):
        return _open_synthetic(str(path), given)
    path, of_path = _options_of(str(path))
    given = of_path | given
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist; give a recording or a folder of recordings")
        found = list(_find_sources(path))
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}; check its permissions"
                         ) from error
    if not found:
        raise InputError(f"{path} is no recording that crossi2p knows; looked for: " + "; ".join(r[2] for r in READERS))
    if found[0][0] == path:
        source: Source = _construct(*found[0], given)
    else:
        source = Collection(path, _parts(path, _without_copies(found), given))
    source.options = given
    return source


def _without_copies(found: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Without single bag files beside recordings of other kinds: converters leave them, and frames would come twice."""
    if all(reader == "rosbag" for _, reader in found):
        return found
    copies = [where for where, reader in found if reader == "rosbag" and where.is_file()]
    for where in copies:
        print(f"crossi2p: left out: {where}, a bag beside other recordings; give it by itself", file=sys.stderr)
    return [(where, reader) for where, reader in found if where not in copies]


def _parts(path: Path, found: list[tuple[Path, str]], options: dict[str, Any]) -> list[tuple[str, Source]]:
    """The recordings below a folder; those that cannot be opened are told on stderr, unless none can."""
    parts, problems = list[tuple[str, Source]](), list[InputError]()
    for where, reader in found:
        try:
            parts.append((where.relative_to(path).as_posix(), _construct(where, reader, options)))
        except InputError as error:
            problems.append(error)
    if not parts:
        raise problems[0]
    for problem in problems:
        print(f"crossi2p: left out: {problem}", file=sys.stderr)
    return parts


def split_address(address: str) -> tuple[Path, str]:
    """Where a recording lies, and what follows the last question mark of a path that is none itself, with that mark."""
    path, mark, options = address.rpartition("?")
    return (Path(path), mark + options) if mark and not Path(address).exists() else (Path(address), "")


def _options_of(address: str) -> tuple[Path, dict[str, Any]]:
    """The recording of an address, and its options as those of a reader."""
    path, options = split_address(address)
    if not options:
        return path, {}
    pairs = parse_qsl(options[1:], keep_blank_values=True)
    if not pairs or not all(value for _, value in pairs):
        raise InputError(f"{address}: after the question mark stand options with their values, such as "
                         f"'{path}?cloud_topic=/top/points&slop=0.1'")
    return path, {name: _typed(name, value, address) for name, value in pairs}


def _typed(name: str, value: str, address: str) -> Any:
    if name in FLAGS:
        if value not in ("true", "false"):
            raise InputError(f"{address}: {name} is true or false, not {value!r}")
        return value == "true"
    try:
        return float(value) if name in SECONDS else value
    except ValueError:
        raise InputError(f"{address}: {name} is a number of seconds, not {value!r}") from None


def _find_sources(path: Path) -> Iterator[tuple[Path, str]]:
    """(path, reader module) of `path` itself or, where it is none, of the sources below it, in sorted order."""
    budget = MAX_FOLDERS
    stack = [(path, 0)]
    while stack:
        folder, depth = stack.pop()
        budget -= 1
        if budget < 0:
            raise InputError(f"{path} holds more than {MAX_FOLDERS} folders; give the folder of the recording itself")
        name = _matching_reader(folder)
        if name is not None:
            yield folder, name
        elif depth < MAX_DEPTH and folder.is_dir():
            stack += [(child, depth + 1) for child in sorted(_children(folder, depth), reverse=True)]


def _children(folder: Path, depth: int) -> list[Path]:
    """The folders in a folder, and bags that lie in it by themselves."""
    try:
        return [child for child in folder.iterdir() if not child.name.startswith(".")
                and (child.is_dir() or child.suffix in ENDINGS)]
    except OSError as error:
        if depth == 0:
            raise
        print(f"crossi2p: left out: {folder} ({error.strerror or error})", file=sys.stderr)
        return []


def _matching_reader(path: Path) -> str | None:
    return next((name for name, _, _ in READERS if import_module(f".{name}", __package__).matches(path)), None)


def _construct(path: Path, reader: str, options: dict[str, Any]) -> Source:
    """Call the reader's class; an option it does not have is the caller's mistake, told in words."""
    class_name = next(cls for name, cls, _ in READERS if name == reader)
    cls = getattr(import_module(f".{reader}", __package__), class_name)
    known = inspect.signature(cls).parameters
    for option in options:
        if option not in known:
            raise InputError(f"{path} is {cls.kind}, which has no choice of {option}; leave that option out")
    try:
        return cls(path, **options)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}; check its permissions"
                         ) from error


def _open_synthetic(address: str, options: dict[str, Any]) -> Source:
    """`synthetic:KIND?seed=0&frames=10`: the generated world as a source; numbers in the address become integers.

    With `elsewhere=10` the camera of each frame is anywhere within so many metres, with `late=40` images are taken so
    many milliseconds after their stamps.
    """
    from .synthetic import ElsewhereSource, LateSource, SyntheticSource

    kind, _, query = address[len(SYNTHETIC):].partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    names = {name for name, _ in given}
    cls, own = ((ElsewhereSource, {"elsewhere", "every"}) if "elsewhere" in names else
                (LateSource, {"late"}) if "late" in names else (SyntheticSource, set[str]()))
    known = {*inspect.signature(SyntheticSource).parameters} - {"kind"} | own
    for name, value in given:
        if name not in known:
            raise InputError(f"{address}: unknown option {name!r}; write for example synthetic:street?seed=0&frames=10")
        options[name] = _whole_number(value, address) if name in WHOLE else value
    source: Source = cls(kind, **options)
    source.options = options
    return source


def _whole_number(text: str, address: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{address}: {text!r} is no whole number; write for example synthetic:street?seed=0&frames=10")
    return int(text)
