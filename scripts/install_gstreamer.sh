#!/bin/sh
# GStreamer's RTSP server for the system's Python: the network cameras of the tests; 75 where it cannot be had.
set -eu
[ -x /usr/bin/python3 ] || exit 75
ready() {
    /usr/bin/python3 -c '
import gi

gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer

Gst.init(None)
needed = "appsrc x264enc x265enc jpegenc alawenc rtph264pay rtph265pay rtpjpegpay rtppcmapay"
raise SystemExit(not all(Gst.ElementFactory.find(name) for name in needed.split()))' 2>/dev/null
}
if ! ready; then
    # x264enc is one of "ugly", x265enc one of "bad"; both have what carries H.26x in RTP from "good".
    [ "$(id -u)" = 0 ] && apt-get -qq update >&2 &&
        apt-get -qq install -y --no-install-recommends python3-gi gir1.2-gst-rtsp-server-1.0 \
            gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
            gstreamer1.0-plugins-ugly >/dev/null || exit 75
    ready || exit 75
fi
