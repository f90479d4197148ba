"""From a loss to the next clean key frame no picture is whole; FFmpeg's words of it are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sources.encoded.said import DecoderWords, missing
from appliance.sources.encoded.soundness import Soundness


def judged(keys: set[int], losses: set[int], count: int, shown: list[int] | None = None) -> str:
    """Return for each packet whether its picture is whole, decoded as it comes."""
    one, text = Soundness(), ""
    for number in range(count):
        one.packet(number, key=number in keys, shown_at=shown[number] if shown else None)
        if number in losses:
            one.lost(number)
        text += ".X"[not one.sound(number, shown[number] if shown else None)]
    return text


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        (set(), "............"),
        ({2}, "..XX........"),
        ({0}, "XXXX........"),
        ({4}, "....XXXX...."),  # the key frame itself
        ({3}, "...X........"),
        ({1, 2, 6}, ".XXX..XX...."),
        ({11}, "...........X"),
    ],
)
def test_what_is_lost_taints_its_group_from_there_on(losses: set[int], text: str) -> None:
    assert judged({0, 4, 8}, losses, 12) == text


def test_where_every_picture_is_a_key_frame_a_loss_costs_one() -> None:
    assert judged(set(range(9)), {3, 5}, 9) == "...X.X..."


def test_a_stream_without_key_frames_stays_damaged() -> None:
    assert judged({0}, {3}, 200) == "..." + 197 * "X"


def test_pictures_shown_before_their_key_frame_may_need_the_group_before_it() -> None:
    shown = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]  # as decoded: 4 is a key frame, 5 and 6 lead it
    assert judged({0, 4}, set(), 10, shown) == ".........."
    assert judged({0, 4}, {1}, 10, shown) == ".XXX.XX..."
    assert judged({0, 4}, {4}, 10, shown) == "....XXXXXX"


def test_a_loss_told_while_a_packet_was_read_may_belong_to_the_next() -> None:
    one = Soundness()
    for number in range(12):
        if number == 3:
            one.lost_before(number)
        one.packet(number, key=number % 4 == 0, shown_at=None)
        assert one.sound(number, None) == (number < 3 or number >= 8), number


def test_pictures_that_come_late_are_judged_by_their_own_group() -> None:
    """A decoder holds pictures back: those from before a loss are whole, also when told later."""
    one = Soundness()
    for number in range(6):
        one.packet(number, key=number in {0, 4}, shown_at=number)
    one.lost(2)
    assert [one.sound(number, number) for number in range(6)] == [True, True, 0, 0, True, True]


@given(
    st.sets(st.integers(1, 300)),
    st.sets(st.integers(0, 300)),
    st.integers(0, 16),
)
def test_it_is_the_rule_whatever_comes(keys: set[int], losses: set[int], delay: int) -> None:
    """Against the rule itself, told for each picture from all of the stream."""
    count = 301
    one, found = Soundness(), []
    for number in range(count + delay):
        if number < count:
            one.packet(number, key=number in keys, shown_at=None)
            if number in losses:
                one.lost(number)
        if number >= delay:
            found.append(one.sound(number - delay, None))
    firsts = sorted(keys | {0})
    for number in range(count):
        first = max(key for key in firsts if key <= number)
        assert found[number] == losses.isdisjoint(range(first, number + 1)), number


@pytest.mark.parametrize("told", ["lost", "lost_before"])
def test_nothing_grows_on_a_bad_line(told: str) -> None:
    one = Soundness()
    for number in range(5000):
        getattr(one, told)(number)
        one.packet(number, key=False, shown_at=number)
    assert len(one._losses) < 10
    assert len(one._groups) == 1
    for number in range(5000, 9000):
        getattr(one, told)(number)
        one.packet(number, key=number % 10 == 0, shown_at=number)
    assert len(one._losses) < 200
    assert len(one._groups) < 20


@pytest.mark.parametrize(
    ("words", "is_loss"),
    [
        ("RTP: missed 3 packets", True),
        ("RTP: missed -2 packets", True),
        ("max delay reached. need to consume packet", True),
        ("Packet corrupt (stream = 0, dts = 133200).", True),
        ("skipping 4 segments ahead, expired from playlists", True),
        ("Estimating duration from bitrate, this may be inaccurate", False),
        ("DTS 10 < 20 out of order", False),
    ],
)
def test_what_a_demuxer_says_of_losses_is_known(words: str, is_loss: bool) -> None:
    assert bool(missing([(24, "rtsp", words + "\n")], "rtsp")) is is_loss


@pytest.mark.parametrize(
    ("level", "name", "is_loss"), [(16, "hls", True), (24, "hls", False), (16, "h264", False)]
)
def test_errors_of_the_demuxer_itself_are_losses_and_its_words_stay_in(
    level: int, name: str, *, is_loss: bool
) -> None:
    told = missing([(level, name, "cannot open http://user:secret@host/\n")], "hls")
    assert bool(told) is is_loss
    assert "secret" not in told


BROKEN = (16, "hevc", "Could not find ref with POC 12\n")


def word(words: DecoderWords, *lines: tuple[int, str, str], key: bool = False, **told: bool) -> str:
    return words.damage(lines, key=key, **({"marked": False, "lossless": True} | told))


def test_what_a_decoder_says_gravely_is_damage_and_talk_is_not() -> None:
    words = DecoderWords()
    assert word(words, BROKEN) == "Could not find ref with POC 12"
    assert word(words, (24, "hevc", "some warning")) == ""
    assert word(words, (16, "h264", "SEI type 764 size 808 truncated at 800")) == ""
    assert word(words) == ""


def test_what_comes_with_every_key_frame_is_the_cameras_way() -> None:
    words = DecoderWords()
    odd = [(16, "h264", f"odd thing {number} at 0x{number:x}") for number in range(8)]
    assert [bool(word(words, one, key=True)) for one in odd] == 4 * [True] + 4 * [False]
    assert word(words, odd[0]) == ""
    assert word(words, odd[0], BROKEN, key=True) == "Could not find ref with POC 12"


@pytest.mark.parametrize("why_not", [{"marked": True}, {"lossless": False}])
def test_what_comes_with_damage_never_becomes_a_habit(why_not: dict[str, bool]) -> None:
    words = DecoderWords()
    assert all(word(words, BROKEN, key=True, **why_not) for _ in range(30))


def test_a_clean_key_frame_ends_the_habit() -> None:
    words = DecoderWords()
    for _ in range(4):
        word(words, BROKEN, key=True)
    word(words, key=True)
    assert all(word(words, BROKEN, key=True) for _ in range(4))
