"""Value types that flow through the pipeline: frozen, validated where they are made."""

from appliance.values.pictures import (
    BT601_LIMITED,
    ClockOrigin,
    Colours,
    Floats,
    Frame,
    Ints,
    Matrix,
    Picture,
    PixelFormat,
    Pixels,
    Seen,
    plane_shapes,
    reduced,
)
from appliance.values.seen import Detections, Observation, StageTimes

__all__ = [
    "BT601_LIMITED",
    "ClockOrigin",
    "Colours",
    "Detections",
    "Floats",
    "Frame",
    "Ints",
    "Matrix",
    "Observation",
    "Picture",
    "PixelFormat",
    "Pixels",
    "Seen",
    "StageTimes",
    "plane_shapes",
    "reduced",
]
