"""What the owner needs to reach the appliance: told once, on the console and the boot partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.card.paths import CardPaths

FILE, CA = "appliance-access.txt", "appliance-ca.crt"


def describe(hostname: str, topics: str, accounts: Mapping[str, str], metrics: str) -> str:
    """Return the text for the owner.

    Args:
        hostname: of the machine.
        topics: what its topics begin with.
        accounts: of the built-in broker, with their passwords; empty where there is none.
        metrics: lines about Prometheus; empty where it reaches nothing.
    """
    lines = [f"This appliance is {hostname}.local, its topics begin with {topics}.", ""]
    if accounts:
        lines += [
            f"MQTT broker    {hostname}.local, port 8883, TLS",
            f"CA             {CA}, beside this file on the card's first partition",
            *(f"account        {name}, password {word}" for name, word in accounts.items()),
            "",
            "homeassistant is for Home Assistant, viewer may only read:",
            "",
            f"  mosquitto_sub -h {hostname}.local -p 8883 --cafile {CA} -u viewer -P PASSWORD \\",
            f"      -v -t '{topics}#'",
            "",
        ]
    if metrics:
        lines += [
            f"Throttling in Grafana: these lines belong into prometheus.yml, {CA} beside it:",
            "",
            metrics,
        ]
    lines += [
        "This text is shown once. It goes with the next start; what it tells stays valid. To get",
        "new passwords, put an empty file named new-passwords on this partition.",
    ]
    return "\n".join(lines) + "\n"


def scrape(hostname: str, port: int, token: str) -> str:
    """Return what Prometheus has to be configured with (a list item of ``scrape_configs``).

    The name of the machine is told twice, so that an address may stand in the last line.
    """
    return f"""\
  - job_name: {hostname}
    scheme: https
    authorization: {{credentials: "{token}"}}
    tls_config: {{ca_file: {CA}, server_name: {hostname}.local}}
    static_configs: [{{targets: ["{hostname}.local:{port}"]}}]
"""


def hand_out(layout: CardPaths, text: str) -> None:
    """Put the text on the boot partition.

    Raises:
        OSError: it cannot be written.
    """
    if not layout.boot_is_there:
        return  # the console has it
    write_whole(layout.boot / FILE, text.replace("\n", "\r\n"))  # read on any computer


def hand_out_authority(layout: CardPaths) -> None:
    """Put the CA on the boot partition, where it is not there any more, or another one.

    Raises:
        OSError: it cannot be written.
    """
    if not layout.boot_is_there:
        return
    mine, told = (layout.broker / "ca.crt").read_bytes(), layout.boot / CA
    if not told.is_file() or told.read_bytes() != mine:
        write_whole(told, mine)


def withdraw(layout: CardPaths) -> None:
    """Take the passwords off the boot partition; the CA is no secret and stays."""
    if layout.boot_is_there:
        (layout.boot / FILE).unlink(missing_ok=True)
