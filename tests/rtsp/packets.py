"""What RTP packets carry, and which pictures are whole once some of them are lost.

RFC 3550 (RTP), RFC 6184 (H.264), RFC 7798 (H.265), RFC 2435 (JPEG). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Fate = Literal["sent", "lost", "altered"]
RTP_HEADER = 12
_RTP_CLOCK_HZ = 90_000
_H264_KEY, _H265_KEY = frozenset({5}), frozenset(range(16, 22))
_H264_STAP, _H264_FU = 24, 28
_H265_AP, _H265_FU = 48, 49


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of the picture's channel, as the camera sent it.

    Attributes:
        sequence, timestamp: of its RTP header.
        kinds: types of the NAL units in it; empty for JPEG.
        key: whether it belongs to a key frame's own slices.
        fate: what the way did to it.
    """

    sequence: int
    timestamp: int
    kinds: tuple[int, ...]
    key: bool
    fate: Fate = "sent"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on its way.

    Attributes:
        number: of the camera's pictures.
        key: whether it needs no other.
        whole: whether all of its packets came as they were sent.
        sound: whether it, and each that it rests on since the key frame, is whole.
        group_whole: whether all pictures of its group, from key frame to key frame, are.
    """

    number: int
    key: bool
    whole: bool
    sound: bool
    group_whole: bool


def parse(packet: bytes, codec: str) -> Packet:
    """Read the header and the types of what is in it."""
    sequence = int.from_bytes(packet[2:4], "big")
    timestamp = int.from_bytes(packet[4:8], "big")
    kinds = tuple(_kinds(packet[RTP_HEADER + 4 * (packet[0] & 15) :], codec))
    keys = {"h264": _H264_KEY, "h265": _H265_KEY}.get(codec)
    return Packet(sequence, timestamp, kinds, keys is None or not keys.isdisjoint(kinds))


def _kinds(payload: bytes, codec: str) -> Iterable[int]:
    if codec == "h264":
        kind = payload[0] & 31
        if kind == _H264_STAP:
            return [unit[0] & 31 for unit in _aggregated(payload[1:])]
        return [payload[1] & 31 if kind == _H264_FU else kind]
    if codec == "h265":
        kind = payload[0] >> 1 & 63
        if kind == _H265_AP:
            return [unit[0] >> 1 & 63 for unit in _aggregated(payload[2:])]
        return [payload[2] & 63 if kind == _H265_FU else kind]
    return []


def _aggregated(rest: bytes) -> Iterable[bytes]:
    while len(rest) > 2:
        size = int.from_bytes(rest[:2], "big")
        yield rest[2 : 2 + size]
        rest = rest[2 + size :]


def pictures(packets: Iterable[Packet], fps: int) -> list[Picture]:
    """Return the pictures that these packets make up, in order; the first must be a key frame."""
    units = [list(unit) for _, unit in groupby(packets, key=lambda packet: packet.timestamp)]
    heads = [
        (
            round(unit[0].timestamp * fps / _RTP_CLOCK_HZ),
            any(packet.key for packet in unit),
            all(packet.fate == "sent" for packet in unit),
        )
        for unit in units
    ]
    groups: list[list[tuple[int, bool, bool]]] = []
    for head in heads:
        if head[1] or not groups:
            groups.append([])
        groups[-1].append(head)
    found = []
    for group in groups:
        group_whole = group[0][1] and all(whole for _, _, whole in group)
        sound = group[0][1]
        for number, key, whole in group:
            sound = sound and whole
            found.append(Picture(number, key, whole, sound, group_whole))
    return found
