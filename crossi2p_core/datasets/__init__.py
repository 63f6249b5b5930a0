"""Readers: every layout on disk becomes a lazy sequence of `Sample`; `open_source` finds out which layout it is."""

from .detect import open_source
from .source import Source

__all__ = ["Source", "open_source"]
