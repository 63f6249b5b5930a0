"""The weights that come with the package, and what may be named instead of a file. README.md here is their card."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parent / "light.safetensors"  # the network of the paper
SHIPPED_FLOW = Path(__file__).parent / "flow.safetensors"  # the flow network
DEFAULT, NONE = "default", "none"  # the shipped weights by name; no network at all


def find_weights(named: str | Path | None) -> Path | None:
    """The file that `named` stands for: DEFAULT or None is what the package brings, NONE is no network (None).

    None also stands for no network where a build of the package has no weights; DEFAULT then names the file that is
    not there, so that reading it tells.
    """
    return _find(named, SHIPPED)


def find_flow_weights(named: str | Path | None) -> Path | None:
    """The same of the flow network."""
    return _find(named, SHIPPED_FLOW)


def _find(named: str | Path | None, shipped: Path) -> Path | None:
    if named is None:
        return shipped if shipped.is_file() else None
    if str(named) == NONE:
        return None
    return shipped if str(named) == DEFAULT else Path(named)
