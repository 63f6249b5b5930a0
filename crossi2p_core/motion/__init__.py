"""How the LiDAR moved between the frames of a drive, and what that is good for."""
