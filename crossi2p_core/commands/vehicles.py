"""Which folder a vehicle of a fleet gets: the one that is its own already, else one that can be no other's.

A name follows from the recording and from what else is there, never from the order in which recordings are named.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..datasets.detect import SYNTHETIC
from .results import file_stem

ROW = "row.json"  # in the folder of a vehicle: what was asked, and its rows


def folder_names(sources: Iterable[str], out: Path) -> dict[str, str]:
    """The name of each source's folder below `out`.

    That whose row is of this source stays its own. Else it is the source's last part, with as many folders before it as
    tell it from all others named here and from those that have a folder in `out`.
    """
    possible = {source: _possible(source) for source in dict.fromkeys(sources)}
    shared = Counter(name for names in possible.values() for name in names)
    owners = _owners(out)
    found = {}
    for source, names in possible.items():
        own = [name for name, owner in owners.items() if owner == source]
        free = [name for name in names if shared[name] == 1 and name not in owners]
        found[source] = (*own, *free, names[-1])[0]
    return found


def _possible(source: str) -> list[str]:
    """Names for a source: its last part, that and the folder before it, and so on; the last is no other source's."""
    path = source if source.startswith(SYNTHETIC) else source.partition("?")[0]  # options name topics with slashes
    parts = [file_stem(part) for part in Path(path.rstrip("/")).parts if part != "/"] or ["vehicle"]
    names = ["_".join(parts[first:]) for first in reversed(range(len(parts)))]
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    return [*names, f"{parts[-1]}_{digest}"]


def _owners(out: Path) -> dict[str, str]:
    """The source of each folder below `out` that holds rows."""
    found = {}
    for file in sorted(out.glob(f"*/{ROW}")):
        try:
            found[file.parent.name] = str(json.loads(file.read_text())["rows"][0]["source"])
        except (OSError, ValueError, LookupError, TypeError):  # nobody's, as it stands
            continue
    return found
