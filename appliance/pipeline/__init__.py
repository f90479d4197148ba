"""The pipeline: capture threads, one newest-frame slot a camera, workers, results in order."""

from appliance.pipeline.lane import CameraEvent, Lane
from appliance.pipeline.ledger import Counts, FrameLedger
from appliance.pipeline.pipeline import Pipeline
from appliance.pipeline.statistics import Window, WindowStatistics

__all__ = [
    "CameraEvent",
    "Counts",
    "FrameLedger",
    "Lane",
    "Pipeline",
    "Window",
    "WindowStatistics",
]
