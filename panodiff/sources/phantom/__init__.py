"""Seeded drawings of panoramic radiographs, and a small corpus of them in the five sources' real layouts.

They stand in for patients wherever no data may be had: the smoke profile and the tests run on them.
"""

from panodiff.sources.phantom.corpus import write_phantoms
from panodiff.sources.phantom.devices import DEVICES, Device
from panodiff.sources.phantom.drawing import draw_phantom

__all__ = ["DEVICES", "Device", "draw_phantom", "write_phantoms"]
