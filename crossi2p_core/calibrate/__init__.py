"""Many frames of a rig -> the one extrinsic that a robot can drive with, and what is known of its error."""
