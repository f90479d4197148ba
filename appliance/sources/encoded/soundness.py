"""Which pictures of an encoded stream are whole: from a loss to the next clean key frame none is.

A picture is predicted from the ones before it, back to a key frame, which stands on its own. A
decoder hides what it lacks and marks at most the picture that broke, never those that are
predicted from it. So whatever tells of a loss (the transport's sequence numbers, the demuxer, the
decoder's words, its marks and its exceptions) is put down here against the number of the packet,
and a picture is whole if nothing was lost since its key frame. Pure; packets are numbered from 0
in the order in which they are decoded.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass

_REMEMBERED = 64
"""Packets: more than any decoder holds back to bring its pictures into order (H.265: 16)."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A key frame and what is predicted from it.

    Attributes:
        first: number of the key frame's packet.
        shown_at: when the key frame is shown, in the stream's units; None if unsaid.
        open_to_loss: whether the group before it had lost something.
    """

    first: int
    shown_at: int | None
    open_to_loss: bool


class Soundness:
    """Says of each picture of an encoded stream whether it is whole."""

    def __init__(self) -> None:
        self._groups: list[_Group] = [_Group(0, None, open_to_loss=False)]
        self._losses: list[int] = []

    def packet(self, number: int, *, key: bool, shown_at: int | None) -> None:
        """Note a packet before it is decoded.

        Args:
            number: of the packet.
            key: whether it holds a key frame.
            shown_at: when its picture is shown, in the stream's units; None if unsaid.
        """
        group = self._groups[-1]
        already = self._lost(group.first, number)
        if key:
            self._groups.append(_Group(number, shown_at, already))
        elif already and number in self._losses[-2:]:
            self._losses.remove(number)  # an earlier loss says as much: nothing grows
        self._forget(number - _REMEMBERED)

    def lost(self, number: int) -> None:
        """Note that packet ``number``, or something just before it, is missing or damaged."""
        if number not in self._losses[-2:]:
            insort(self._losses, number)

    def lost_before(self, number: int) -> None:
        """Note a loss that was told while packet ``number`` was read.

        A parser hands a picture out when the next one begins, so what is missing may belong to
        either.
        """
        self.lost(number)
        self.lost(number + 1)

    def lost_between(self, number: int, *, key: bool) -> None:
        """Note a loss right before packet ``number``, which is whole itself: a key frame heals."""
        if not key:
            self.lost(number)

    def sound(self, number: int, shown_at: int | None) -> bool:
        """Say whether the picture of packet ``number`` is whole.

        Args:
            number: of its packet.
            shown_at: when it is shown. Pictures shown before their key frame may be predicted
                from the group before it.
        """
        group = self._groups[max(0, self._at(number))]
        if self._lost(group.first, number + 1):
            return False
        leads = None not in (shown_at, group.shown_at) and shown_at < group.shown_at  # type: ignore[operator]
        return not (leads and group.open_to_loss)

    def _at(self, number: int) -> int:
        return bisect_right(self._groups, number, key=lambda one: one.first) - 1

    def _lost(self, first: int, behind: int) -> bool:
        at = bisect_right(self._losses, first - 1)
        return at < len(self._losses) and self._losses[at] < behind

    def _forget(self, number: int) -> None:
        """Forget groups that ended before ``number``, and what was lost in them."""
        at = self._at(number)
        if at > 0:
            del self._groups[:at]
            del self._losses[: bisect_right(self._losses, self._groups[0].first - 1)]
