"""Real-time camera detection appliance: frames in, detections and honest figures out."""

__version__ = "0.1.0"
