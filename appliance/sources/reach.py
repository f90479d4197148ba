"""Why a network camera gives no video: asked of it directly, once opening it has failed."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.addresses import Endpoint

_STATUS = re.compile(rb"(?:HTTP|RTSP)/\d(?:\.\d)? (\d{3})")
_REFUSED_USER = frozenset({401, 403})
_MOST_BYTES = 4096


def why_no_video(endpoint: Endpoint, seconds: float) -> str:
    """Return in words what stands in the way.

    Args:
        endpoint: the camera.
        seconds: longest wait for a connection, and for an answer.
    """
    place = f"{endpoint.host}:{endpoint.port}"
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port), seconds)
    except socket.gaierror:
        return f"there is no host {endpoint.host}: check the address"
    except ConnectionRefusedError:
        return f"nothing listens at {place}: check the port, and that the camera is on"
    except (OSError, UnicodeError) as error:
        return f"{place} cannot be reached ({error}): check the address, and that the camera is on"
    with connection:
        if endpoint.scheme in {"rtsps", "https"}:
            return "it can be reached: check path, user and password"
        try:
            status = _ask(connection, endpoint)
        except OSError:
            status = None
    return _meaning(status, endpoint, place)


def _ask(connection: socket.socket, endpoint: Endpoint) -> int | None:
    """Return the status with which the camera answers; None if that is no status."""
    place = f"{endpoint.host}:{endpoint.port}"
    if endpoint.scheme == "rtsp":
        words = f"DESCRIBE rtsp://{place}{endpoint.request} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    else:
        words = f"GET {endpoint.request} HTTP/1.0\r\nHost: {place}\r\n\r\n"
    connection.sendall(words.encode())
    found = _STATUS.match(connection.recv(_MOST_BYTES))
    return int(found[1]) if found else None


def _meaning(status: int | None, endpoint: Endpoint, place: str) -> str:
    if status is None:
        return f"{place} does not answer as a camera: check port and scheme"
    if status in _REFUSED_USER:
        if endpoint.user:
            return "it asks for user and password: check those given"
        return "it asks for user and password: none are given"
    if status == 404:
        return "it has nothing at this path: check the address"
    if status >= 400:
        return f"it answers with {status}"
    return "it answers, but not with video that can be decoded: check the path"
