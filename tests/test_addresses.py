"""Addresses of cameras: what is shown of them never holds a password, however it was written."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import cli
from appliance.config import CameraSettings
from appliance.config.addresses import (
    ESCAPE,
    Endpoint,
    endpoint_of,
    fault_of,
    secrets_of,
    without_secrets,
)
from appliance.errors import ConfigError
from appliance.sources import check_source, parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMES = ("rtsp", "RTSP", "http", "HTTPS", "stream:rtsp", "ftp")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://host/cam", "rtsp://host/cam"),
        ("rtsp://user:pw@host:554/cam?x=1#y", "rtsp://host:554/cam"),
        ("rtsp://user@host/cam", "rtsp://host/cam"),
        ("rtsp://user:p@ss@host/cam", "rtsp://host/cam"),
        ("rtsp://user:pw@[::1]:554/cam", "rtsp://[::1]:554/cam"),
        ("rtsp://user:p[w@host/cam", "rtsp://host/cam"),
        ("stream:rtsp://user:pw@host/cam", "stream:rtsp://host/cam"),
        ("RTSP://user:pw@host/cam", "RTSP://host/cam"),
        ("rtsp://admin:p@Top/w:rd#1@host/cam", "rtsp://..."),
        ("rtsp://admin:12/34@host/cam", "rtsp://admin/..."),
        ("http://10.0.0.5:80/x?mail=a@b", "http://10.0.0.5/..."),
        ("rtsp:user:pw@host/cam", "rtsp:..."),
        ("rtsp://admin:secret", "rtsp://..."),
        ("v4l2:/dev/video0", "v4l2:/dev/video0"),
        ("images:/a/b@c#d?e", "images:/a/b@c#d?e"),
        ("file:///a/b@c.mp4", "file:///a/b@c.mp4"),
        ("synthetic", "synthetic"),
    ],
)
def test_what_is_shown_of_an_address(source: str, shown: str) -> None:
    assert without_secrets(source) == shown


@given(
    scheme=st.sampled_from(SCHEMES),
    password=st.text("0123456789abz/?#@:[]%&= ", min_size=1, max_size=12),
    user=st.sampled_from(["", "admin"]),
)
def test_no_part_of_a_password_is_ever_shown(scheme: str, password: str, user: str) -> None:
    """Whatever it is made of: it begins and ends with letters that occur nowhere else."""
    shown = without_secrets(f"{scheme}://{user}:QX{password}XQ@host/cam")
    assert "QX" not in shown
    assert "XQ" not in shown
    assert not set(password) & set("abz") & set(shown.partition("://")[2].partition("host")[0])


@given(
    st.text("0123456789/?#@:x", min_size=1, max_size=8).filter(lambda one: set(one) & set("/?#"))
)
def test_a_password_with_unescaped_signs_is_refused_in_words(password: str) -> None:
    camera = CameraSettings(source=f"rtsp://admin:{password}@host/cam")
    with pytest.raises(ConfigError) as caught:
        check_source(camera)
    assert "%2F" in str(caught.value)
    assert f"admin:{password}" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:p%2Fw%40@host/cam",
        "rtsp://admin:p@ss@host:554/cam",
        "rtsp://10.0.0.5:554/a@b",
        "http://camera/x?mail=a@b",
        "http://localhost:8080/a@b",
        "http://[::1]:8080/a@b",
        "video:/films/a@b/c?d.mp4",
    ],
)
def test_addresses_that_are_clear_are_taken(source: str) -> None:
    assert fault_of(source) == ""
    check_source(CameraSettings(source=source))


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("rtsp://u:p@host/cam?x=1#y", ("rtsp", "host", 554, "/cam?x=1#y", True)),
        ("stream:HTTP://host:8080", ("http", "host", 8080, "/", False)),
        ("https://[::1]/x", ("https", "::1", 443, "/x", False)),
        ("rtsp://host:/x", ("rtsp", "host", 554, "/x", False)),
        ("rtsp://host:99999/x", None),
        ("ftp://host/x", None),
        ("video:/a/b", None),
        ("file:///a/b", None),
    ],
)
def test_where_an_address_leads(source: str, place: tuple[str, str, int, str, bool] | None) -> None:
    assert endpoint_of(source) == (Endpoint(*place) if place else None)


def test_capital_letters_in_the_scheme_change_nothing() -> None:
    kind, target = parse_source(CameraSettings(source="RTSP://Admin:Pw@Host/Cam"))
    assert (kind, target) == ("stream", "rtsp://Admin:Pw@Host/Cam")


def test_a_kind_that_does_not_exist_is_named_without_the_secrets() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(CameraSettings(source="ftp://admin:sEcret9@host/cam"))
    assert "ftp://host/cam" in str(caught.value)
    assert "sEcret9" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["rtsp://ada:sEc/ret9@host/cam?key=abc", "rtsp://ada:sEcret9@host/cam?key=abc"],
)
def test_what_has_to_be_struck_out_elsewhere_is_known(source: str) -> None:
    text = f"opening {source}"
    for secret in secrets_of(source):
        text = text.replace(secret, "***")
    assert "ret9" not in text
    assert "ada" not in text
    assert "abc" not in text or "sEc/" in source


class Pictures(BaseHTTPRequestHandler):
    """An endless camera."""

    def do_GET(self) -> None:
        content = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
        between = threading.Event()
        try:
            while not between.wait(0.04):
                self.wfile.write(head.encode() + content + b"\r\n")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://admin:sEcret9@127.0.0.1:{server.server_port}/cam?token=sEcret8"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "text"])
def test_the_benchmark_tells_no_password(
    camera: str,
    form: list[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    words = ["bench", "--accelerator", "cpu", "--threads", "1", "--workers", "1", "--frames", "40"]
    plot = ["--plot", str(tmp_path / "x.svg")]
    assert cli.main([*words, *plot, "--source", camera, *form]) == 0
    out, err = capsys.readouterr()
    if form:
        assert json.loads(out)["source"].startswith("http://127.0.0.1:")
    assert "127.0.0.1" in out
    told = out + err + caplog.text + (tmp_path / "x.svg").read_text()
    assert "sEcret" not in told
    assert "admin" not in told


@pytest.mark.parametrize("verb", ["check", "bench"])
def test_a_refusal_tells_no_password(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "rtsp://admin:p@Top/w:rd#1@host/cam"
    file = tmp_path / "c.toml"
    file.write_text(f'[mqtt]\nenabled = false\n[[camera]]\nsource = "{source}"\n')
    words = ["check", "--config", str(file)] if verb == "check" else ["bench", "--source", source]
    assert cli.main(words) == ConfigError.exit_code
    told = "".join(capsys.readouterr())
    assert ESCAPE in told
    assert "Top" not in told
    assert "w:rd" not in told
