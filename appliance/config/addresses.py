"""Addresses of network cameras: shown without their secrets, and refused where they are unclear.

An address ends its user and password at an ``@`` that comes before the first ``/``, ``?`` or
``#``. Where a password holds one of these unescaped, every program takes its rest for the path,
and would show it. So whatever could be a password is left out, also where it may be none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_USUAL_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
ESCAPE = (
    "a user or password holds a sign that has to be escaped: write / as %2F, ? as %3F, # as %23, "
    "@ as %40 (in the path too)"
)
_LAST_PORT = 65_535
_ADDRESS = re.compile(r"((?:[a-z0-9]+:)?)([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_HEAD = re.compile(r"[^/?#]*")
_PORT = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>\d{0,5}))?")
_LEFT_OUT = "..."


@dataclass(frozen=True, slots=True)
class _Parts:
    """An address, taken apart.

    Attributes:
        scheme: with what stands before it.
        head: up to the first ``/``, ``?`` or ``#``.
        user: all before the last ``@`` of the head; empty if there is none.
        host: name or number; empty where the rest of the head is no host.
        port: with its colon, or empty.
        path: up to the query.
        rest: query and fragment.
    """

    scheme: str
    head: str
    user: str
    host: str
    port: str
    path: str
    rest: str

    @property
    def doubtful(self) -> bool:
        """Return whether the password may go on behind the first ``/``, ``?`` or ``#``."""
        return "@" in self.path + self.rest

    @property
    def local(self) -> bool:
        """Return whether it names no host at all: a file."""
        return not self.head


def without_secrets(source: str) -> str:
    """Return a source as it may be shown: without user, password and query."""
    parts = _parts(source)
    if parts is None:
        scheme = source.partition(":")[0]
        careless = scheme.lower() in _USUAL_PORTS and "@" in source
        return f"{scheme}:{_LEFT_OUT}" if careless else source
    if parts.local:
        return source
    if parts.doubtful:  # the host may be a user, the port a password
        host = "" if parts.user else parts.host
        return f"{parts.scheme}{host}/{_LEFT_OUT}" if host else f"{parts.scheme}{_LEFT_OUT}"
    if not parts.host:
        return f"{parts.scheme}{_LEFT_OUT}"
    return f"{parts.scheme}{parts.host}{parts.port}{parts.path}"


def secrets_of(source: str) -> tuple[str, ...]:
    """Return what must not be shown of a source, longest first."""
    parts = _parts(source)
    if parts is None or parts.local:
        return ()
    behind = source.partition("://")[2]
    found = {parts.user, parts.rest.lstrip("?#"), behind.rpartition("@")[0]}
    found |= {user.partition(":")[2] for user in found}
    found.add(parts.user.partition(":")[0])
    return tuple(sorted((one for one in found if one), key=len, reverse=True))


def fault_of(source: str) -> str:
    """Return why an address cannot be meant as it is written; empty if it can."""
    parts = _parts(source)
    if parts is None or parts.local or not parts.doubtful:
        return ""
    named = "." in parts.host or parts.host.startswith("[") or parts.host == "localhost"
    if parts.user or not parts.host or (parts.port and not named):
        return ESCAPE
    return ""


def _parts(source: str) -> _Parts | None:
    found = _ADDRESS.fullmatch(source)
    if found is None:
        return None
    before, scheme, behind = found.groups()
    head = _HEAD.match(behind)
    words = head[0] if head else ""
    user, _, place = words.rpartition("@")
    where = _PORT.fullmatch(place)
    tail = behind[len(words) :]
    path = re.split(r"[?#]", tail, maxsplit=1)[0]
    port = where["port"] if where else None
    return _Parts(
        scheme=f"{before}{scheme}://",
        head=words,
        user=user,
        host=where["host"] if where else "",
        port="" if port is None else f":{port}",
        path=path,
        rest=tail[len(path) :],
    )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an address leads, for asking there why it gives no video.

    Attributes:
        scheme: in small letters.
        host: name or number.
        port: given, or usual for the scheme.
        request: path and query, which may hold secrets.
        user: whether user or password are given.
    """

    scheme: str
    host: str
    port: int
    request: str
    user: bool


def endpoint_of(source: str) -> Endpoint | None:
    """Return where an address leads; None where it is no network camera's."""
    parts = _parts(source)
    if parts is None or not parts.host:
        return None
    scheme = parts.scheme.removesuffix("://").rpartition(":")[2].lower()
    if scheme not in _USUAL_PORTS:
        return None
    port = int(parts.port.removeprefix(":") or _USUAL_PORTS[scheme])
    if port > _LAST_PORT:
        return None
    host = parts.host.removeprefix("[").removesuffix("]")
    return Endpoint(scheme, host, port, f"{parts.path}{parts.rest}" or "/", bool(parts.user))
