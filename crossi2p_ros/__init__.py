"""The ROS 2 side of crossi2p: converts messages, calls `crossi2p_core.registrar.Registrar`, publishes the answer.

Only the package marker stands here today; the lifecycle node is described in README, "What works today".
"""
