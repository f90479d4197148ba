"""A network camera that shows a photograph passing by, with its number in every picture.

Runs in the system's Python, which has GStreamer: ``/usr/bin/python3 -m tests.rtsp.server JSON``.
Prints its port when it serves; pictures are under ``/cam``, sound alone is under ``/sound``.
Every client gets a camera of its own that begins with picture 0 in a key frame, and RTP time
stamps that begin with 0: so a time stamp tells the number of the picture.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

from tests.rtsp.counter import BLOCK, NEUTRAL, WIDTH, bits_of  # noqa: E402

ENCODERS = {
    # Two slices a picture; the encoder repeats its parameters with each key frame.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast pass=quant quantizer=20 threads=2 "
    "key-int-max={key_interval} option-string=scenecut=0 ! "
    "video/x-h264,stream-format=byte-stream ! "
    "rtph264pay name=pay0 pt=96 timestamp-offset=0 seqnum-offset=0",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast qp=20 log-level=none "
    "key-int-max={key_interval} "
    "option-string=no-open-gop=1:scenecut=0:min-keyint={key_interval} ! "
    "rtph265pay name=pay0 pt=96 config-interval=-1 timestamp-offset=0 seqnum-offset=0",
    "mjpeg": "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26 timestamp-offset=0 seqnum-offset=0",
}
SOUND = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )"
REALM = "camera"


@dataclass(frozen=True)
class Picture:
    """A photograph that joins itself at its sides, as I420; the camera sees ``width`` of it.

    Attributes:
        width, height: what the camera sees, in pixels.
        step: pixels that it passes by from one picture to the next; even.
        planes: rows of Y, of U and of V, each twice side by side, so that a row is one slice.
        length: pixels until it begins again.
        black, white: their levels of Y.
    """

    width: int
    height: int
    step: int
    planes: tuple[list[bytes], list[bytes], list[bytes]]
    length: int
    black: int
    white: int

    @classmethod
    def load(cls, settings: dict[str, Any]) -> Picture:
        path, height = Path(settings["picture"]), settings["height"]
        raw = path.read_bytes()
        length = len(raw) * 2 // 3 // height
        planes = []
        for w, h in ((length, height), (length // 2, height // 2), (length // 2, height // 2)):
            planes.append([raw[w * y : w * (y + 1)] * 2 for y in range(h)])
            raw = raw[w * h :]
        width, step, black, white = (settings[k] for k in ("width", "step", "black", "white"))
        rows = (planes[0], planes[1], planes[2])
        return cls(width, height, step, rows, length, black, white)

    def of(self, number: int) -> bytes:
        """Return the pixels of one picture, its number in the corner."""
        x = number * self.step % self.length
        y, u, v = self.planes
        half, end = x // 2, (x + self.width) // 2
        bits = bits_of(number)
        marks = b"".join(bytes([self.white if bit else self.black]) * BLOCK for bit in bits)
        grey = bytes([NEUTRAL]) * (WIDTH // 2)
        # GStreamer's rows are whole numbers of four bytes.
        spare, spare_half = bytes(-self.width % 4), bytes(-(self.width // 2) % 4)
        rows = [marks + row[x + WIDTH : x + self.width] + spare for row in y[:BLOCK]]
        rows += [row[x : x + self.width] + spare for row in y[BLOCK:]]
        for plane in (u, v):
            rows += [
                grey + row[half + WIDTH // 2 : end] + spare_half for row in plane[: BLOCK // 2]
            ]
            rows += [row[half:end] + spare_half for row in plane[BLOCK // 2 :]]
        return b"".join(rows)


def push(source: Any, picture: Picture, fps: int) -> None:
    """Feed one client's encoder at the camera's pace, until it has gone."""
    number, due = 0, time.monotonic()
    while True:
        buffer = Gst.Buffer.new_wrapped(picture.of(number))
        buffer.pts = buffer.dts = number * Gst.SECOND // fps
        buffer.duration = Gst.SECOND // fps
        if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
            return
        number += 1
        due = max(due + 1 / fps, time.monotonic() - 1 / fps)  # no burst after a halt
        time.sleep(max(0.0, due - time.monotonic()))


def camera(settings: dict[str, Any]) -> Any:
    """Return the factory of ``/cam``."""
    picture = Picture.load(settings)
    fps = settings["fps"]
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=pictures is-live=true format=time max-bytes=0 caps=video/x-raw,format=I420,"
        f"width={picture.width},height={picture.height},framerate={fps}/1,"
        f"colorimetry={settings['colorimetry']} ! "
        f"{ENCODERS[settings['codec']].format(key_interval=settings['key_interval'])} )"
    )
    lower = GstRtsp.RTSPLowerTrans
    protocols = {"tcp": lower.TCP, "udp": lower.UDP, "both": lower.TCP | lower.UDP}
    factory.set_protocols(protocols[settings["transport"]])

    def configure(_factory: Any, media: Any) -> None:
        source = media.get_element().get_by_name("pictures")
        threading.Thread(target=push, args=(source, picture, fps), daemon=True).start()

    factory.connect("media-configure", configure)
    return factory


def guard(server: Any, factories: list[Any], user: str, password: str, method: str) -> None:
    """Let nobody in but this user."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    auth.set_realm(REALM)
    token.set_string("media.factory.role", "user")
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)


def end_with_the_test() -> None:
    sys.stdin.read()
    os._exit(0)


def main(settings: dict[str, Any]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(settings["port"]))
    cam = camera(settings)
    sound = GstRtspServer.RTSPMediaFactory()
    sound.set_launch(SOUND)
    points = server.get_mount_points()
    points.add_factory("/cam", cam)
    points.add_factory("/sound", sound)
    if settings["user"]:
        guard(server, [cam, sound], settings["user"], settings["password"], settings["method"])
    if not server.attach(None):
        raise SystemExit("the port is taken")
    print(server.get_bound_port(), flush=True)  # noqa: T201 - the test reads it
    threading.Thread(target=end_with_the_test, daemon=True).start()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
