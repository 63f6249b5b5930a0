"""Many vehicles: each calibrated as if it were alone, a row for each, on processes of this machine or on Ray.

What a vehicle's folder holds says by a digest what was asked, so the same command goes on where it stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import atomic
from ..datasets.detect import split_address
from ..errors import InputError
from .processes import each_by_itself
from .records import plain
from .rig import Rig, calibrate_rig, camera_names, networks, read_options
from .starts import init_files
from .vehicles import ROW, folder_names

NUMBERS = ("moved_deg", "moved_cm", "sigma_deg", "sigma_cm", "error_deg", "error_cm", "seconds")
COLUMNS = ("vehicle", "camera", "status", "start_was", *NUMBERS, "frames_used", "reason", "source")
Row = dict[str, Any]


def calibrate_fleet(rigs: Sequence[Rig], out: Path, jobs: int = 1, ray: str | None = None) -> list[Row]:
    """A row per camera of every vehicle, in the order given, and the files of `crossi2p calibrate`.

    jobs: processes. ray: address of a cluster, `local` for one of this machine's own, None: no Ray. Raises InputError
    where `out` cannot be written, and where Ray is asked for and not there; a vehicle that cannot be calibrated is a
    row with its reason. One vehicle is calibrated in this process, whatever is asked.
    """
    # 1. a folder for each, and what is done already
    read_options(rigs[0])  # what is wrong for all of them is no row
    fleet = _in_folders(rigs, out.absolute())
    others = _others(out, fleet)
    done = {name: rows for name, rig in fleet.items() if (rows := _kept(rig)) is not None}
    todo = {name: rig for name, rig in fleet.items() if name not in done}
    if done:
        print(f"{len(done)} of {len(fleet)} vehicles are done already", file=sys.stderr)
    # 2. the others, in any order
    work: Callable[[dict[str, Rig]], Iterator[tuple[str, list[Row]]]]
    work = (lambda each: _on_ray(each, ray)) if ray is not None and len(fleet) > 1 else (
        lambda each: _here(each, jobs))
    for name, rows in work(todo):
        done[name] = rows
        print(f"{len(done)} of {len(fleet)}: {name}: {rows[0]['status']}", file=sys.stderr)
        _write(out, [row for vehicle in fleet for row in done.get(vehicle, [])], others)
    # 3. all of them
    rows = [row for vehicle in fleet for row in done[vehicle]]
    _write(out, rows, others)
    return rows


def rows_of(name: str, rig: Rig) -> list[Row]:
    """Calibrate one vehicle; whatever goes wrong is a row."""
    try:
        rows = [_row(name, rig, camera) for camera in plain(calibrate_rig(rig))["cameras"]]
        assert rig.out is not None
        atomic.write_text(Path(rig.out) / ROW, json.dumps({"asked": _digest(rig), "rows": rows}, allow_nan=False))
        return rows
    except InputError as error:
        return [_row(name, rig, {"name": "", "status": "failed", "reason": str(error)})]
    except Exception as error:  # one vehicle must not end the night's run of all others
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}; this is a defect of crossi2p, please report what stderr says"
        return [_row(name, rig, {"name": "", "status": "failed", "reason": reason})]


def fleet_in_words(rows: Sequence[Row], out: Path) -> str:
    """A line per row for a terminal."""
    lines = []
    for row in rows:
        moved = "" if row["moved_deg"] is None else f", {row['moved_deg']:.2f} deg and {row['moved_cm']:.1f} cm off"
        start = "" if row["start_was"] == "unknown" else f"; the calibration in use is {row['start_was']}{moved}"
        lines.append(f"{row['vehicle']} {row['camera']}".rstrip() + f": {row['status']}{start}; {row['reason']}")
    return "\n".join([*lines, f"written to {out}: a folder for each, fleet.csv and fleet.json"])


def _in_folders(rigs: Sequence[Rig], out: Path) -> dict[str, Rig]:
    """Each by the name of its folder; a recording that is named twice is one vehicle."""
    whole = {rig.source: rig for rig in map(_from_anywhere, rigs)}
    return {name: replace(whole[source], out=str(out / name)) for source, name in folder_names(whole, out).items()}


def _from_anywhere(rig: Rig) -> Rig:
    """With whole paths: a process elsewhere has another working folder."""
    named = {key: getattr(rig, key) for key in ("config", "weights", "out")}
    whole: dict[str, Any] = {key: str(Path(text).absolute()) for key, text in named.items()
                             if text is not None and (key == "out" or Path(text).exists())}
    recording, options = split_address(rig.source)
    if recording.exists():
        whole["source"] = f"{recording.absolute()}{options}"
    inits = None if rig.init is None else ",".join(str(file.absolute()) for file in _inits(rig))
    return replace(rig, init=inits, **whole)


def _inits(rig: Rig) -> list[Path]:
    """The files that its cameras start from."""
    return [] if rig.init is None else init_files(rig.init, camera_names(rig))


def _here(fleet: dict[str, Rig], jobs: int) -> Iterator[tuple[str, list[Row]]]:
    """In processes of this machine, in this one where one is asked for."""
    if jobs == 1 or len(fleet) < 2:
        yield from ((name, rows_of(name, rig)) for name, rig in fleet.items())
        return
    for name, rows, exit_code in each_by_itself(rows_of, fleet, jobs):
        yield name, _lost(name, fleet[name], f"exit code {exit_code}") if rows is None else rows


def _on_ray(fleet: dict[str, Rig], address: str | None) -> Iterator[tuple[str, list[Row]]]:
    """As tasks of a Ray cluster, whose machines see the recordings and `out` by the same paths."""
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray: pip install 'crossi2p_ros[ray]'; --jobs needs nothing") from None
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"--ray {address}: no cluster there ({error}); give its address, or local") from error
    task = ray.remote(rows_of)
    names = {task.remote(name, rig): name for name, rig in fleet.items()}
    try:
        while names:
            (finished, *_), _ = ray.wait(list(names))
            name = names.pop(finished)
            try:
                rows = ray.get(finished)
            except ray.exceptions.RayError as error:
                rows = _lost(name, fleet[name], f"{type(error).__name__}: {error}")
            yield name, rows
    finally:
        ray.shutdown()


def _lost(name: str, rig: Rig, how: str) -> list[Row]:
    """Of a vehicle whose process died: out of memory, as a rule."""
    reason = f"its process ended ({how}); try fewer --jobs"
    return [_row(name, rig, {"name": "", "status": "failed", "reason": reason})]


def _row(name: str, rig: Rig, camera: dict[str, Any]) -> Row:
    numbers = {key: camera.get(key) for key in NUMBERS}
    return {"vehicle": name, "camera": camera["name"], "status": camera["status"],
            "start_was": camera.get("start_was", "unknown"), **numbers, "frames_used": len(camera.get("used", ())),
            "reason": camera["reason"], "source": rig.source}


def _kept(rig: Rig) -> list[Row] | None:
    """The rows of a vehicle that was calibrated as is asked now; None otherwise, and where a camera of it failed."""
    assert rig.out is not None
    try:
        kept = json.loads((Path(rig.out) / ROW).read_text())
        whole = kept["asked"] == _digest(rig) and (Path(rig.out) / "report.json").is_file()
        return kept["rows"] if whole and all(row["status"] != "failed" for row in kept["rows"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(rig: Rig) -> str:
    """Of all that is asked, the content of the files named among it, and which recording it was."""
    asked = asdict(rig) | {"config": _content(rig.config)}
    asked["init"] = [_content(str(file)) for file in _inits(rig)]
    asked["networks"] = [None if file is None else _content(str(file)) for file in networks(rig.weights)]
    asked["recorded"] = _stamps(split_address(rig.source)[0])
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _content(file: str | None) -> str | None:
    if file is None or not Path(file).is_file():
        return file
    return _hashed(file, Path(file).stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _hashed(file: str, _: int) -> str:
    """Of a file's bytes, by its time: a network is as large as the fleet is long."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _stamps(recording: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of each file: the same path may hold another drive tomorrow."""
    files = sorted(recording.rglob("*")) if recording.is_dir() else [recording] if recording.is_file() else []
    stats = [(str(file.relative_to(recording)), file.stat()) for file in files if file.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _others(out: Path, fleet: dict[str, Rig]) -> list[Row]:
    """Rows of vehicles that stand in `fleet.json` from before, have their folder, and are none of the fleet."""
    sources = {rig.source for rig in fleet.values()}
    try:
        return [{name: row[name] for name in COLUMNS} for row in json.loads((out / "fleet.json").read_text())
                if row["vehicle"] not in fleet and row["source"] not in sources
                and (out / row["vehicle"] / ROW).is_file()]
    except (OSError, ValueError, LookupError, TypeError):  # there is none, or nobody can read it
        return []


def _write(out: Path, rows: Sequence[Row], others: Sequence[Row]) -> None:
    """fleet.csv and fleet.json: what was asked, and then what was there."""
    rows, text = [*rows, *others], io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(out / "fleet.csv", text.getvalue())
    atomic.write_text(out / "fleet.json", json.dumps(rows, indent=1, allow_nan=False))
