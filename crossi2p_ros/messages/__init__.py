"""Live messages to what flows through the house, and answers back into messages.

    sample.py   image + calibration + scan -> Sample
    answers.py  T_cam_lidar and its covariance -> transform and pose, and back
    live.py     images, clouds, calibrations, transforms as messages of rclpy

The conversions themselves are those of bags, in `crossi2p_core.datasets.messages`: one implementation for both.
"""
