"""Stands for picamera2 on a board without a ribbon camera: it finds none."""


class Picamera2:
    """As far as the search for cameras asks it."""

    @staticmethod
    def global_camera_info() -> list[dict[str, object]]:
        """Return no camera."""
        return []
