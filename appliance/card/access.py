"""What the owner needs to reach the appliance: told once, on the console and the boot partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.card.paths import CardPaths

FILE, CA = "appliance-access.txt", "appliance-ca.crt"


def describe(hostname: str, topics: str, accounts: Mapping[str, str]) -> str:
    """Return the text for the owner."""
    lines = [
        f"This appliance is {hostname}.local, its topics begin with {topics}.",
        "",
        f"MQTT broker    {hostname}.local, port 8883, TLS",
        f"CA             {CA}, beside this file on the card's first partition",
        *(f"account        {name}, password {word}" for name, word in accounts.items()),
        "",
        "homeassistant is for Home Assistant, viewer may only read:",
        "",
        f"  mosquitto_sub -h {hostname}.local -p 8883 --cafile {CA} -u viewer -P PASSWORD \\",
        f"      -v -t '{topics}#'",
        "",
        "This text is shown once. It goes with the next start; the accounts stay. To get new",
        "ones, put an empty file named new-passwords on this partition.",
    ]
    return "\n".join(lines) + "\n"


def hand_out(layout: CardPaths, text: str) -> None:
    """Put the text and the CA on the boot partition.

    Raises:
        OSError: it cannot be written.
    """
    if not layout.boot_is_there:
        return  # the console has it
    write_whole(layout.boot / FILE, text.replace("\n", "\r\n"))  # read on any computer
    write_whole(layout.boot / CA, (layout.broker / "ca.crt").read_bytes())


def withdraw(layout: CardPaths) -> None:
    """Take the passwords off the boot partition; the CA is no secret and stays."""
    if layout.boot_is_there:
        (layout.boot / FILE).unlink(missing_ok=True)
