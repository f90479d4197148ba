"""Settings of the pictures that leave the unit."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class PictureSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures of objects, sent with their events; nothing of a picture leaves while it is off."""

    enabled: Annotated[
        bool, Meta(description="Send pictures of objects to {camera}/snapshot and {camera}/image.")
    ] = False
    longest_side: Annotated[
        Annotated[int, Meta(ge=64, le=8192)],
        Meta(description="Pixels; larger pictures are made smaller."),
    ] = 640
    quality: Annotated[Annotated[int, Meta(ge=10, le=100)], Meta(description="Of the JPEG.")] = 80
    per_minute: Annotated[
        Annotated[float, Meta(gt=0, le=6000)],
        Meta(description="Most pictures a minute, over all objects; so many may come at once."),
    ] = 30.0
