"""Programs of the system that the setup calls."""

from __future__ import annotations

import subprocess

from appliance.errors import UnavailableError

_SECONDS = 60
_PACKAGES = {"openssl": "openssl", "mosquitto_passwd": "mosquitto"}


def run_tool(*words: str) -> None:
    """Run a program to its end.

    Raises:
        UnavailableError: it is missing, fails or takes more than a minute.
    """
    try:
        subprocess.run(  # noqa: S603 - fixed words and our own paths
            words, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{words[0]}: is not installed", hint=f"apt install {_PACKAGES[words[0]]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{words[0]}: took more than {_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"{words[0]}: failed: {error.stderr.strip()}") from error
