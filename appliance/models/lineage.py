"""Where an output of a graph comes from: names can be changed by any tool, operators cannot."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from appliance.models.graph import TensorInfo

Key = TypeVar("Key", int, str)
"""What a format calls its tensors by: a number, or a name."""

_REARRANGING = frozenset(
    (
        *("cast", "quantize", "quantizelinear", "dequantize", "dequantizelinear", "identity"),
        *("reshape", "squeeze", "unsqueeze", "expanddims", "transpose", "slice", "stridedslice"),
        *("concat", "concatenation", "pack"),
    )
)
"""Operators that leave values what they are, or only store them otherwise."""
_JOINING = frozenset({"concat", "concatenation", "pack"})
"""Those of them whose inputs are all data; of the others it is the first."""
_ACTIVATIONS = frozenset({"sigmoid", "logistic", "softmax", "qlinearsigmoid"})
_LINEAR = frozenset(
    (
        *("conv", "conv2d", "depthwiseconv2d", "qlinearconv", "gemm", "matmul", "fullyconnected"),
        *("add", "biasadd"),
    )
)
"""Operators whose results have any sign and size."""
_EXPONENTIAL = "exp"


class Lineage(Generic[Key]):
    """Follows tensors back to the operators that made them.

    Args:
        makers: operator and inputs, by the tensor made.
    """

    def __init__(self, makers: Mapping[Key, tuple[str, tuple[Key, ...]]]) -> None:
        self._makers: dict[Key, tuple[str, tuple[Key, ...]]] = {
            made: (operator.lower().replace("_", ""), inputs)
            for made, (operator, inputs) in makers.items()
        }

    def activated(self, tensor: Key) -> bool:
        """Say whether all of the tensor went through a sigmoid or softmax."""
        origins = self._origins(tensor, ())
        makers = {self._makers.get(one, ("", ()))[0] for one in origins}
        return bool(makers) and makers <= _ACTIVATIONS

    def parts(self, tensor: Key) -> tuple[bool, ...]:
        """Say of what is joined last, and not alike, which parts went through a sigmoid."""
        for _, operator, inputs in self._back(tensor, self._rearranged):
            if operator in _JOINING:
                activated = tuple(self.activated(part) for part in inputs)
                if len(set(activated)) > 1:
                    return activated
        return ()

    def logits(self, tensor: Key) -> bool:
        """Say whether none of it went through a sigmoid, and some is as a convolution gives it."""
        makers = {self._makers.get(one, ("", ()))[0] for one in self._origins(tensor, ())}
        return not makers & _ACTIVATIONS and bool(makers & _LINEAR)

    def exponential(self, tensor: Key) -> bool:
        """Say whether there is an exponential anywhere on its way."""
        way = self._back(tensor, lambda _, inputs: inputs)
        return any(operator == _EXPONENTIAL for _, operator, _ in way)

    def traced(self, tensor: TensorInfo, key: Key) -> TensorInfo:
        return replace(
            tensor,
            activated=self.activated(key),
            parts=self.parts(key),
            logits=self.logits(key),
            exponential=self.exponential(key),
        )

    def first_of(self, tensor: Key, wanted: Collection[Key]) -> Key | None:
        """Return which of ``wanted`` the tensor holds; None where it is none, or a mixture."""
        origins = self._origins(tensor, wanted)
        origin = next(iter(origins), None)
        return origin if len(origins) == 1 and origin in wanted else None

    def _origins(self, tensor: Key, wanted: Collection[Key]) -> set[Key]:
        """Return the tensors that a tensor is a rearrangement of, stopping at ``wanted``."""
        found: set[Key] = set()
        for one, operator, inputs in self._back(tensor, self._rearranged, wanted):
            if one in wanted or not self._rearranged(operator, inputs):
                found.add(one)
        return found

    @staticmethod
    def _rearranged(operator: str, inputs: tuple[Key, ...]) -> tuple[Key, ...]:
        """Return what an operator that changes no value takes its values from; else nothing."""
        if operator not in _REARRANGING:
            return ()
        return inputs if operator in _JOINING else inputs[:1]

    def _back(
        self,
        tensor: Key,
        further: Callable[[str, tuple[Key, ...]], tuple[Key, ...]],
        stop: Collection[Key] = (),
    ) -> Iterator[tuple[Key, str, tuple[Key, ...]]]:
        """Yield a tensor and what it comes from, nearest first, with what makes each of them.

        Args:
            tensor: to begin with.
            further: returns to which inputs of an operator to go on.
            stop: tensors to go no further than.
        """
        seen: set[Key] = set()
        open_ends = deque([tensor])
        while open_ends:
            one = open_ends.popleft()
            if one in seen:
                continue
            seen.add(one)
            operator, inputs = self._makers.get(one, ("", ()))
            yield one, operator, inputs
            if one not in stop:
                open_ends += further(operator, inputs)
