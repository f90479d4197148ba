"""Webhooks: in order, at least once under one id, signed; a receiver that is away loses nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import SystemClock
from appliance.config import Settings, load
from appliance.config.secrets import secrets_in, shown
from appliance.config.webhook import WebhookSettings, webhook_faults
from appliance.errors import ConfigError
from appliance.reports.outgoing import Outgoing
from appliance.sinks.outbox.outbox import Outbox
from appliance.sinks.webhook.post import LONGEST_WAIT_SECONDS, Answer, Poster, headers_of
from appliance.sinks.webhook.receiver import receiver_of
from appliance.sinks.webhook.sink import WebhookSink
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from tests.test_daemon import Unit

SECRET = b"a key of the owner's"


class Receiver(BaseHTTPRequestHandler):
    """Answers by what the path says, and keeps what it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        word = self.path.strip("/").partition("?")[0]
        if word == "drop" or server.gone:
            self.close_connection = True
            return
        code = int(word) if word.isdecimal() else server.code
        if code == 200:
            server.got.append((dict(self.headers), body))
        self.send_response(code)
        if word == "429":
            self.send_header("Retry-After", "7000" if "long" in self.path else "17")
        if word == "301":
            self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@dataclass
class Server:
    """A receiver that can go and come back on the same port."""

    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    server: Any = None

    def start(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Receiver)
        self.server.daemon_threads = True
        self.server.got, self.server.code, self.server.gone = self.got, 200, False
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.gone = True  # also for who is connected
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self) -> list[tuple[str, str]]:
        """Return id and event of what came, each delivery once."""
        seen = {head["X-Appliance-Delivery"]: json.loads(body) for head, body in self.got}
        return [(one["id"], one["event"]) for one in seen.values()]


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    one.start()
    yield one
    one.stop()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("200", Answer(taken=True)),
        ("204", Answer(taken=True)),
        ("301", Answer(taken=False, words="301 Moved Permanently")),
        ("404", Answer(taken=False, words="404 Not Found")),
        ("500", Answer(taken=False, again=True, words="500 Internal Server Error")),
        ("429", Answer(taken=False, again=True, words="429 Too Many Requests", wait_seconds=17)),
        (
            "429?long",
            Answer(
                taken=False,
                again=True,
                words="429 Too Many Requests",
                wait_seconds=LONGEST_WAIT_SECONDS,
            ),
        ),
    ],
)
def test_what_an_answer_means(server: Server, path: str, expected: Answer) -> None:
    poster = Poster(f"{server.url}/{path}", 5)
    assert poster.post(b"{}", {}) == expected
    assert poster.post(b"{}", {}) == expected  # over the connection that is there
    poster.close()


def test_who_does_not_answer_is_asked_again(server: Server) -> None:
    assert Poster(f"{server.url}/drop", 5).post(b"{}", {}).again
    server.stop()
    answer = Poster(server.url, 5).post(b"{}", {})
    assert (answer.taken, answer.again) == (False, True)
    assert "Connection refused" in answer.words


class Hasty(Receiver):
    """Closes an idle connection, as receivers do, without a word of it."""

    def do_POST(self) -> None:
        super().do_POST()
        self.close_connection = True


def test_a_connection_that_was_closed_while_idle_is_no_fault() -> None:
    server = Server()
    server.start()
    server.server.RequestHandlerClass = Hasty
    poster = Poster(f"{server.url}/200", 5)
    for _ in range(4):
        assert poster.post(b"{}", {}) == Answer(taken=True)
    poster.close()
    server.stop()


@pytest.mark.parametrize("host", ["a..b", ".foo", "x" * 64])
def test_a_name_that_can_be_none_is_no_answer(host: str) -> None:
    answer = Poster(f"http://{host}/", 1).post(b"{}", {})
    assert (answer.taken, answer.again) == (False, True)


@pytest.mark.parametrize(
    ("url", "port"), [("http://[::1]/x", 80), ("https://[fd00::25]/x", 443), ("http://h:8/", 8)]
)
def test_the_port_is_the_usual_one_where_none_is_given(url: str, port: int) -> None:
    assert Poster(url, 1)._open().port == port


def test_the_path_of_a_receiver_is_shown_to_nobody() -> None:
    url = "https://house.local/api/webhook/SECRETID?also=THIS"
    settings = Settings(webhook=(WebhookSettings(url=url),))
    assert "https://house.local/" in str(shown(settings))
    assert "SECRETID" not in str(shown(settings)) and "THIS" not in str(shown(settings))
    assert {"api/webhook/SECRETID", "also=THIS"} <= set(secrets_in(settings))


def test_whatever_goes_wrong_is_told_and_the_thread_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(None, 10)
    settings = WebhookSettings(url=f"{server.url}/200")
    sink = WebhookSink(settings, b"", outbox, SystemClock(), Poster(settings.url, 5))
    outbox.add("c/events", b"no JSON", None)
    sink.start()
    wait_for(sink.problems)
    assert "JSON" in sink.problems()[0][2]
    sink.close()


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=80))
def test_the_signature_is_what_a_receiver_works_out(body: bytes, secret: bytes) -> None:
    headers = headers_of(body, "d-1", "new", secret)
    digest = hmac.digest(secret, body, hashlib.sha256).hex()
    assert headers["X-Appliance-Signature-256"] == f"sha256={digest}"
    assert "X-Appliance-Signature-256" not in headers_of(body, "d-1", "new", b"")


class Scripted(Poster):
    """Answers as told, then takes everything."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__("http://127.0.0.1:9", 1)
        self._answers = answers
        self.tried: list[tuple[str, str]] = []

    def post(self, body: bytes, headers: Any) -> Answer:
        answer = self._answers.pop(0) if self._answers else "taken"
        self.tried.append((headers["X-Appliance-Delivery"], answer))
        return Answer(taken=answer == "taken", again=answer == "later", words=answer)


def message(number: int) -> bytes:
    return json.dumps({"boot_id": "b", "camera": "c", "seq": number, "event": "new"}).encode()


@given(
    st.integers(1, 12),
    st.lists(st.sampled_from(["taken", "later", "refused"]), max_size=30),
)
def test_each_is_tried_under_one_id_until_it_is_taken_or_refused_and_then_the_next(
    events: int, answers: list[str]
) -> None:
    outbox, poster = Outbox(None, 100), Scripted(answers)
    sink = WebhookSink(WebhookSettings(url="http://h/"), b"", outbox, SystemClock(), poster)
    for number in range(events):
        outbox.add("c/events", message(number), None)
    while (waiting := outbox.after(0)) is not None:
        sink._send(waiting)
    ended = [delivery for delivery, answer in poster.tried if answer != "later"]
    assert ended == [f"b-c-{number}" for number in range(events)]
    order = list(dict.fromkeys(delivery for delivery, _ in poster.tried))
    assert order == ended
    tally = sink.tally()
    refused = sum(answer == "refused" for _, answer in poster.tried)
    assert (tally.handled, tally.failed, tally.waiting) == (events - refused, refused, 0)
    assert bool(sink.problems()) == (refused > 0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "expected https://HOST/PATH"),
        ("https://", "expected https://HOST/PATH"),
        ("http://me:pw@host/x", "holds a user or password"),
        ("http://host:99999/x", "is no address"),
        ("http://host/a b", "write them as %20"),
        ("http://host/ä", "no signs beyond ASCII"),
    ],
)
def test_addresses_that_cannot_be_are_refused_in_words(url: str, words: str) -> None:
    (fault,) = webhook_faults((WebhookSettings(url=url),), ("camera",))
    assert fault.startswith("webhook[webhook].url: ")
    assert words in fault
    assert "pw" not in fault.replace("holds a user or password", "")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    key, authority = tmp_path / "key", tmp_path / "ca.pem"
    settings = WebhookSettings(url="https://h/", secret_file=str(key))
    with pytest.raises(ConfigError, match="cannot be read"):
        receiver_of(settings)
    key.write_text("\n")
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        receiver_of(settings)
    key.write_bytes(SECRET + b"\n")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="readable by everybody"):
        receiver_of(settings)
    key.chmod(0o600)
    receiver = receiver_of(settings)
    assert receiver.secret == SECRET
    assert SECRET.decode() not in repr(receiver)
    authority.write_text("no certificate")
    with pytest.raises(ConfigError, match="a PEM file is expected"):
        receiver_of(WebhookSettings(url="https://h/", tls_ca_file=str(authority)))


def test_names_are_told_apart_and_cameras_known(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    hook = '[[webhook]]\nurl = "http://h/"\ncameras = ["dor"]\n'
    file.write_text(hook + hook)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert "webhook[webhook].name: got it twice" in str(caught.value)
    assert "webhook[webhook].cameras: got 'dor', expected one of camera" in str(caught.value)


def outgoing(**fields: Any) -> Outgoing:
    given = {"kind": "health", "topic": "health", "payload": b"{}", "message": None, **fields}
    return Outgoing(qos=0, retain=False, durable=False, expiry_seconds=None, handed_ns=0, **given)


def test_only_events_are_taken() -> None:
    outbox = Outbox(None, 10)
    settings = WebhookSettings(url="http://h/")
    sink = WebhookSink(settings, b"", outbox, SystemClock(), Scripted([]))
    sink.put(outgoing())
    assert outbox.size() == (0, 0)


def test_a_receiver_that_is_away_gets_every_event_later_also_after_a_kill(
    unit: Unit, broker: DemoBroker, server: Server, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(SECRET)
    key.chmod(0o600)
    hook = f'[[webhook]]\nname = "bell"\nurl = "{server.url}/hook"\nsecret_file = "{key}"\n'
    subscriber = Subscriber(broker.port)
    path = unit.configure(more='labels = ["person"]\n' + hook)
    path.write_text(path.read_text().replace("[mqtt]", '[mqtt]\noutbox = "disk"'))
    unit.start()
    wait_for(lambda: len(server.events()) >= 2, 60)
    server.stop()

    def told() -> list[tuple[str, str]]:
        found = [(one["id"], one["event"]) for one in subscriber.of("front/events")]
        return [one for one in found if one[1] in {"new", "end"}]

    before = len(told())
    wait_for(lambda: len(told()) >= before + 4, 60)
    wait_for(lambda: "webhook-bell" in str(subscriber.of("health")[-1]["reasons"]), 60)
    tally = "webhook-bell"
    wait_for(lambda: subscriber.of("health")[-1]["sinks"][tally]["waiting"] >= 4, 60)
    assert unit.process is not None
    unit.process.send_signal(signal.SIGKILL)
    unit.ended()
    server.start()
    unit.start()
    wait_for(lambda: len(server.events()) >= before + 4, 60)
    code, log = unit.stop()
    assert code == 0, log
    got = server.events()
    assert len(got) == len(set(got))
    common = [one for one in told() if one in got]
    assert got[: len(common)] == common  # in order, with nothing between
    assert set(told()[: before + 4]) <= set(got)
    for headers, body in server.got:
        digest = hmac.digest(SECRET, body, hashlib.sha256).hex()
        assert headers["X-Appliance-Signature-256"] == f"sha256={digest}"
    subscriber.close()
