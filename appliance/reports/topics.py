"""Every topic of a unit: what is said there, how it is sent. The documents are made from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic below ``{prefix}/{device}/``.

    Attributes:
        name: its words; ``{camera}`` stands for the name of each.
        text: what is said there.
        kind: of message, as in ``messages.MESSAGES``; empty for plain text.
        qos: 0 or 1.
        retained: the broker keeps the last.
        expires: the broker forgets it after a while (MQTT 5).
        content: media type of what is neither JSON nor plain text.
    """

    name: str
    text: str
    kind: str = ""
    qos: int = 1
    retained: bool = False
    expires: bool = False
    content: str = ""


TOPICS = (
    Topic("status", "`online` or `offline`; also the last will", retained=True),
    Topic("info", "who the unit is", "info", retained=True),
    Topic("health", "how it is, every 10 s and on change", "health", retained=True, expires=True),
    Topic("alerts", "transitions, kept in the outbox while the broker is away", "alert"),
    Topic("update", "software installed and available", "update", retained=True),
    Topic("state", "what commands changed; the same after a restart", "state", retained=True),
    Topic(
        "{camera}/detections",
        "one a processed frame, or as `detections` of the camera says",
        "detections",
        qos=0,
        expires=True,
    ),
    Topic(
        "{camera}/events",
        "an object is there, changed, is gone; kept in the outbox while the broker is away",
        "event",
    ),
    Topic("{camera}/objects", "counts, occupancy, totals; on change", "objects", retained=True),
    Topic(
        "{camera}/snapshot",
        "JPEG of a new object or a better look, where `[camera.pictures]` is on: user properties "
        "`id` (of the event, or of the command), `sha256`, `captured_at`",
        qos=0,
        content="image/jpeg",
    ),
    Topic(
        "{camera}/image",
        "the last of these with boxes, for Home Assistant",
        qos=0,
        retained=True,
        content="image/jpeg",
    ),
    Topic("{camera}/metrics", "one a window", "metrics", qos=0, retained=True, expires=True),
)
