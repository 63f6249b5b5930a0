"""The tables that benchmarks/calibration.py makes of its records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from crossi2p_core.geometry import se3

RADII = (2.653, 3.585, 4.479)  # of ellipsoids in six dimensions that hold 68.3, 95.4 and 99.7 %: chi-square quantiles
Record = dict[str, Any]


def tables(records: list[Record]) -> Iterator[str]:
    """Lines of Markdown."""
    drawn = [record for record in records if not record["run"]["half"]]
    real = [record for record in drawn if not record["run"]["source"].startswith("synthetic")]
    yield "### Error against the number of frames\n"
    yield from _errors(real)
    yield "\n### From a start that is nearly right: is the answer better?\n"
    yield from _better([record for record in real if record["run"]["deg"] == 0.2])
    yield "\n### Does the covariance tell the truth?\n"
    yield from _coverage(drawn)
    yield "\n### What the recorded calibration leaves\n"
    yield from _floor([record for record in records if record["run"]["half"]])


def _errors(records: list[Record]) -> Iterator[str]:
    yield "| recording | start | frames | runs | before | after | p90 | ok |\n|---|---|---|---|---|---|---|---|"
    for source in _values(records, "source"):
        for deg in _values(records, "deg"):
            for count in _values(records, "count"):
                some = [each for each in records if _is(each, source=source, deg=deg, count=count)]
                if some:
                    before, after = (np.array([each[name] for each in some]) for name in ("init", "error"))
                    yield (f"| {_short(source)} | {deg:g}/{some[0]['run']['cm']:g} | {count} | {len(some)} | "
                           f"{_pair(np.median(before, axis=0))} | **{_pair(np.median(after, axis=0))}** | "
                           f"{_pair(np.percentile(after, 90, axis=0))} | {_share([_ok(each) for each in some])} |")


def _better(records: list[Record]) -> Iterator[str]:
    yield ("| recording | frames | runs | before | after | rotation better | translation better | ok | ok, both worse "
           "| these, start called wrong |\n|---|---|---|---|---|---|---|---|---|---|")
    for source in _values(records, "source"):
        for count in _values(records, "count"):
            some = [each for each in records if _is(each, source=source, count=count)]
            if not some:
                continue
            before, after = (np.array([each[name] for each in some]) for name in ("init", "error"))
            better, worse = after < before, (after > before).all(axis=1)
            bad = [each for each, lost in zip(some, worse, strict=True) if _ok(each) and lost]
            harm = sum(each["start_was"] == "wrong" for each in bad)
            yield (f"| {_short(source)} | {count} | {len(some)} | {_pair(np.median(before, axis=0))} | "
                   f"{_pair(np.median(after, axis=0))} | {_share(better[:, 0])} | {_share(better[:, 1])} | "
                   f"{_share([_ok(each) for each in some])} | "
                   f"{len(bad)} | {harm} |")


def _coverage(records: list[Record]) -> Iterator[str]:
    yield "| recordings | frames | runs | inside 1, 2, 3 sigma (68, 95, 99.7 % are right) |\n|---|---|---|---|"
    for synthetic in (False, True):
        kind = [each for each in records if each["run"]["source"].startswith("synthetic") is synthetic]
        for count in _values(kind, "count"):
            sigmas = np.array([each["sigmas"] for each in kind if _is(each, count=count)])
            shares = ", ".join(_share(sigmas < radius) for radius in RADII)
            yield f"| {'synthetic' if synthetic else 'real'} | {count} | {len(sigmas)} | {shares} |"


def _floor(records: list[Record]) -> Iterator[str]:
    yield ("| recording | even frames from odd ones | both from the recorded calibration, in the mean |\n"
           "|---|---|---|")
    for source in _values(records, "source"):
        some = [each for each in records if _is(each, source=source)]
        if len(some) == 2:
            even, odd = (np.array(each["T_cam_lidar"]) for each in some)
            apart = float(se3.rotation_error_deg(even, odd)), 100 * float(se3.translation_error_m(even, odd))
            yield f"| {_short(source)} | {_pair(apart)} | {_pair(np.mean([each['error'] for each in some], axis=0))} |"


def _values(records: list[Record], name: str) -> list[Any]:
    """All that occur, in their first order or, numbers, sorted."""
    found = list(dict.fromkeys(each["run"][name] for each in records))
    return found if found and isinstance(found[0], str) else sorted(found)


def _is(record: Record, **values: Any) -> bool:
    return all(record["run"][name] == value for name, value in values.items())


def _ok(record: Record) -> bool:
    return bool(record["status"] == "ok")


def _pair(values: Any) -> str:
    return f"{values[0]:.2f}/{values[1]:.1f}"


def _share(true: Any) -> str:
    return f"{100 * float(np.mean(true)):.0f} %"


def _short(source: str) -> str:
    return source.partition("/")[2] if source.startswith("compact/") else source.partition("/")[0]
