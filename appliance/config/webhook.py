"""Settings of the receivers that events are posted to."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from appliance.config.addresses import without_secrets

Event = Literal["new", "update", "end"]


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver that gets the JSON of events by HTTP POST; repeat the table for more."""

    name: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9-]+$", examples=["door-bell"])],
        Meta(description="Name in health and metrics: a-z, 0-9 and -."),
    ] = "webhook"
    url: Annotated[str, Meta(description="Where to: https://... or http://...")]
    secret_file: Annotated[
        str,
        Meta(
            description="File with the key that signs each body (HMAC-SHA256, in the header "
            "X-Appliance-Signature-256); empty for none."
        ),
    ] = ""
    tls_ca_file: Annotated[
        str, Meta(description="Authority to trust (PEM); empty for the system's.")
    ] = ""
    events: Annotated[tuple[Event, ...], Meta(description="Which events: new, update, end.")] = (
        "new",
        "end",
    )
    cameras: Annotated[tuple[str, ...], Meta(description="Of which cameras; empty for all.")] = ()
    labels: Annotated[tuple[str, ...], Meta(description="Of which labels; empty for all.")] = ()
    timeout_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=30)],
        Meta(description="A receiver that takes longer to answer is asked again later."),
    ] = 5.0
    waiting: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)],
        Meta(description="Events that wait at most while it does not answer."),
    ] = 1000


def webhook_faults(webhooks: tuple[WebhookSettings, ...], cameras: tuple[str, ...]) -> list[str]:
    """Return what is wrong with the receivers as a whole."""
    names = [one.name for one in webhooks]
    faults = [
        f"webhook[{name}].name: got it twice, expected a different name for each webhook"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for one in webhooks:
        faults += [f"webhook[{one.name}].url: {fault}" for fault in _url_faults(one.url)]
        faults += [
            f"webhook[{one.name}].cameras: got {name!r}, expected one of {', '.join(cameras)}"
            for name in one.cameras
            if name not in cameras
        ]
    return faults


def _url_faults(url: str) -> list[str]:
    shown = without_secrets(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return [f"got {shown!r}, which is no address: {error}"]
    if parts.scheme not in {"http", "https"} or not host:
        return [f"got {shown!r}, expected https://HOST/PATH or http://HOST/PATH"]
    if parts.username or parts.password:
        return ["holds a user or password, which HTTP shows everybody; sign with secret_file"]
    if any(not (" " < sign < "\x7f") for sign in url):
        return [f"got {shown!r}, expected no spaces and no signs beyond ASCII; write them as %20"]
    return []
