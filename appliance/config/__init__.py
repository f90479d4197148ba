"""Typed settings: structs, loading and merging, complaints that list every fault."""

from appliance.config.load import load, parse_overrides
from appliance.config.settings import CameraSettings, Settings

__all__ = ["CameraSettings", "Settings", "load", "parse_overrides"]
