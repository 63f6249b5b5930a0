"""Watching a calibration over frames: evidence -> sequential test -> state -> repair."""
