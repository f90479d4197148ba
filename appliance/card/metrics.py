"""``/metrics`` for a Prometheus elsewhere: by TLS, to whoever knows the token of this machine.

The owner's configuration comes after ours: ``port = 0``, or an address of the loopback, turns it
off.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.card.certificates import make_certificate
from appliance.config.loopback import is_loopback
from appliance.files import write_whole

if TYPE_CHECKING:
    from appliance.card.paths import CardPaths
    from appliance.config import Settings

FRAGMENT = "40-metrics.toml"
PORT = 9750
_TOKEN, _CERTIFICATE = "metrics-token", "metrics"
_GROUP = "appliance"


def serve(layout: CardPaths, hostname: str) -> None:
    """Configure it.

    Raises:
        UnavailableError: openssl is missing or fails.
    """
    make_certificate(layout, hostname, layout.secrets / _CERTIFICATE, _GROUP)
    inside = Path("/") / layout.secrets.relative_to(layout.root)
    any_address = "::" if (layout.root / "proc/net/if_inet6").exists() else "0.0.0.0"  # noqa: S104
    lines = (
        "# Written at each boot by `appliance setup`; a later fragment may say otherwise.",
        "[sinks.prometheus]",
        f"port = {PORT}",
        f'address = "{any_address}"',
        f'tls_certificate_file = "{inside / _CERTIFICATE}.crt"',
        f'tls_key_file = "{inside / _CERTIFICATE}.key"',
        f'token_file = "{inside / _TOKEN}"',
    )
    write_whole(layout.fragments / FRAGMENT, "\n".join(lines) + "\n")


def new_token(layout: CardPaths, *, anew: bool) -> str:
    """Return a token, not kept yet; empty where there is one already.

    Args:
        layout: where everything is.
        anew: though there is one already.
    """
    known = (layout.secrets / _TOKEN).exists()
    return "" if known and not anew else secrets.token_urlsafe(24)


def keep_token(layout: CardPaths, token: str) -> None:
    """Let whoever sends it read the metrics."""
    write_whole(layout.secrets / _TOKEN, f"{token}\n", 0o640, group=_GROUP)


def reached_at(settings: Settings) -> int:
    """Return the port at which others reach the metrics; 0 where nobody does."""
    told = settings.sinks.get("prometheus", {})
    port, address = told.get("port", 0), str(told.get("address", "127.0.0.1"))
    return 0 if is_loopback(address) or not isinstance(port, int) else port
