"""A procedural world for cameras and LiDARs: demonstration, exact truth for tests, and training ground.

The way of the data: layout (street, yard, hall) -> World of primitives -> rays cast into it -> surfaces with textures
-> light and lens, or echoes -> Sample. Everything after the layout is torch in batches of worlds, on any device.
"""

from .domain import Domain, Look, draw_look
from .elsewhere import ElsewhereSource
from .late import LateSource
from .lidar_models import LIDARS, Lidar
from .rig import CAMERAS
from .source import SyntheticSource, make_world
from .world import World, stack_worlds

__all__ = ["CAMERAS", "LIDARS", "Domain", "ElsewhereSource", "LateSource", "Lidar", "Look", "SyntheticSource", "World",
           "draw_look", "make_world", "stack_worlds"]
