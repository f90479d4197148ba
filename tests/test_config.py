"""Every fault of a configuration is named, with key, what was there and what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accelerators import ROOM
from appliance.config import Settings, load, parse_overrides
from appliance.config.example import default_toml
from appliance.config.options import options_given, structs_of
from appliance.errors import ConfigError
from appliance.extensions import kinds
from appliance.sinks import sink_options
from appliance.sources import check_source

ROOT = Path(__file__).resolve().parent.parent


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "appliance.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_is_the_defaults() -> None:
    shipped = load(ROOT / "config/appliance.toml")
    assert sink_options(shipped.sinks) == sink_options({})
    assert options_given(shipped.accelerator.options, kinds(ROOM), "accelerator.options") == {}
    accelerator = msgspec.structs.replace(shipped.accelerator, options={})
    bare = msgspec.structs.replace(shipped, sinks={}, accelerator=accelerator)
    assert bare == Settings() == load(None)


def test_the_shipped_file_has_a_table_for_each_accelerator_of_ours_that_has_options() -> None:
    """Not for those of other packages: where they are not installed they would be unknown."""
    shown = load(ROOT / "config/appliance.toml").accelerator.options
    ours = {k: o for k, o in structs_of(ROOM).items() if o.__module__ == f"{ROOM}.{k}"}
    assert shown == {k: msgspec.to_builtins(o()) for k, o in ours.items()}
    assert "edgetpu" in shown


def test_an_option_without_its_accelerator_is_told_where_it_belongs(tmp_path: Path) -> None:
    path = write(tmp_path, '[accelerator]\ndevice = "usb:0"\n[accelerator.options]\ncores = "0"\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "accelerator.device: unknown key" in str(caught.value)
    assert "options: got {'cores': '0'}, expected a table for each kind" in str(caught.value)


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'devise = "x"\n[mqtt]\nport = "x"\n[[camera]]\nname = "A b"\nrotation = 91\n'
        "[[camera]]\nfps = nan\ncrop = [0, 0, 2]\n",
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    text = str(caught.value)
    for part in (
        "devise: unknown key; did you mean device?",
        "mqtt.port: got 'x', expected `int`",
        "camera[A b].name: got 'A b'",
        "camera[A b].rotation: got 91, expected one of 0, 90, 180, 270",
        "camera[2].fps: got nan",
        "camera[2].crop",
    ):
        assert part in text
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[mqtt", "is not TOML"),
        ('[[camera]]\nname = "status"\n', "is a topic of the device itself"),
        ('[[camera]]\nname="a"\n[[camera]]\nname="a"\n', "got it twice"),
        ("camera = []", "expected at least one"),
        ("[mqtt]\ntls_key_file = 'k'\n", "belong together"),
        ("[[camera]]\ncrop = [0.5, 0, 0.8, 1]\n", "inside 0..1"),
        ("mqtt = 3", "expected a table"),
        ('[accelerator]\nworkers = "many"\n', "expected 'auto' or a whole number, 1 to 64"),
        ("[accelerator]\nworkers = 65\n", "got 65, expected 'auto' or a whole number, 1 to 64"),
    ],
)
def test_a_single_fault(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert part in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml")


def test_later_wins_and_cameras_merge_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, '[mqtt]\nhost = "one"\nport = 1\n[[camera]]\nname = "a"\nfps = 5\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/10.toml").write_text(
        '[mqtt]\nhost = "two"\n[[camera]]\nname = "a"\nwidth = 640\n[[camera]]\nname = "b"\n'
    )
    settings = load(
        path,
        environment={"APPLIANCE_MQTT__HOST": "three", "OTHER": "x"},
        overrides=parse_overrides(["mqtt.prefix=site/one"]),
    )
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.prefix) == (
        "three",
        1,
        "site/one",
    )
    a, b = settings.camera
    assert (a.name, a.fps, a.width, b.name) == ("a", 5, 640, "b")


def test_the_default_camera_goes_when_another_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, (ROOT / "config/appliance.toml").read_text())
    (tmp_path / "conf.d").mkdir()
    fragment = tmp_path / "conf.d/10.toml"
    fragment.write_text('[[camera]]\nname = "door"\n')
    assert [camera.name for camera in load(path).camera] == ["door"]
    fragment.write_text('[[camera]]\nname = "camera"\nfps = 5\n[[camera]]\nname = "door"\n')
    assert [camera.name for camera in load(path).camera] == ["camera", "door"]
    path.write_text("[[camera]]\nwidth = 640\n")  # somebody wanted this one
    fragment.write_text('[[camera]]\nname = "door"\n')
    assert [camera.name for camera in load(path).camera] == ["camera", "door"]


@pytest.mark.parametrize("source", ["nothing", "ftp://x", "videos:/x", ""])
def test_an_unknown_source_lists_the_known(source: str) -> None:
    with pytest.raises(ConfigError, match="expected one of"):
        check_source(Settings().camera[0].__class__(source=source))


def test_options_of_a_source_are_checked() -> None:
    camera = msgspec.structs.replace(Settings().camera[0], source="synthetic", options={"sead": 1})
    with pytest.raises(ConfigError, match="did you mean seed"):
        check_source(camera)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mqtt", "camera", "port", "name", "x"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_no_tree_raises_anything_but_a_config_error(value: object) -> None:
    try:
        load(None, overrides=[("mqtt", value), ("camera", value)])
    except ConfigError as error:
        assert error.faults


def test_every_key_of_the_example_is_documented() -> None:
    text = (ROOT / "config/appliance.toml").read_text()
    assert set(tomllib.loads(text)) == {
        "device",
        "mqtt",
        "model",
        "accelerator",
        "telemetry",
        "governor",
        "metrics",
        "sinks",
        "update",
        "homeassistant",
        "camera",
    }


def test_zones_can_be_added_below_the_file_of_defaults(tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    more = (
        '[[camera.zone]]\nname = "porch"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
        '[[camera.filter]]\nkind = "labels"\nlabels = ["person"]\n'
    )
    path.write_text(default_toml() + more)
    (camera,) = load(path).camera
    assert [zone.name for zone in camera.zone] == ["porch"]
    assert len(camera.filter) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[camera.zone]]\nname = "a"\npolygon = [[0, 0], [1, 1]]', "zone[a].polygon"),
        ('[[camera.zone]]\nname = "a"\npolygon = [[0, 0], [0.5, 0.5], [1, 1]]', "around some area"),
        ('[[camera.zone]]\nname = "a b"\npolygon = [[0, 0], [1, 0], [1, 1]]', "'front-door'"),
        ("[[camera.zone]]\npolygon = [[0, 0], [1, 0], [1, 1]]", "zone[1].name: is missing"),
        ('[[camera.line]]\nname = "l"\nstart = [0, 0]\nend = [0, 0]', "another point than start"),
        ('[[camera.line]]\nname = "l"\nstart = [0, 0]\nend = [0, 2]', "<= 1.0"),
        ("min_area = 0.5\nmax_area = 0.2", "less than max_area"),
        ('detections = "often"', "'every', 'changed', 'off' or a number above 0 to 1000"),
        (
            'objects = {enabled = false}\nline = [{name = "l", start = [0, 0], end = [0, 1]}]',
            "expected true where there are zones or lines",
        ),
    ],
)
def test_what_is_wrong_with_a_scene_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(f'[[camera]]\nname = "front"\n{text}\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults
