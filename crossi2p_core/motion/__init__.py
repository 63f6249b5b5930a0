"""How the LiDAR moved between the frames of a drive, and what that is good for."""

MOST_SWEEPS = 20  # neighbours on either side that a scan may be joined with
