"""Where an output of a graph comes from: names can be changed by any tool, operators cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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
        seen: set[Key] = set()
        open_ends = [tensor]
        while open_ends:
            one = open_ends.pop(0)
            operator, inputs = self._makers.get(one, ("", ()))
            if one in seen or operator not in _REARRANGING:
                continue
            seen.add(one)
            if operator in _JOINING:
                activated = tuple(self.activated(part) for part in inputs)
                if len(set(activated)) > 1:
                    return activated
            open_ends += inputs if operator in _JOINING else inputs[:1]
        return ()

    def logits(self, tensor: Key) -> bool:
        """Say whether none of it went through a sigmoid, and some is as a convolution gives it."""
        makers = {self._makers.get(one, ("", ()))[0] for one in self._origins(tensor, ())}
        return not makers & _ACTIVATIONS and bool(makers & _LINEAR)

    def exponential(self, tensor: Key) -> bool:
        """Say whether there is an exponential anywhere on its way."""
        seen: set[Key] = set()
        open_ends = [tensor]
        while open_ends:
            one = open_ends.pop()
            if one in seen:
                continue
            seen.add(one)
            operator, inputs = self._makers.get(one, ("", ()))
            if operator == _EXPONENTIAL:
                return True
            open_ends += inputs
        return False

    def traced(self, tensor: TensorInfo, key: Key) -> TensorInfo:
        """Return an output with what its lineage says."""
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
        seen: set[Key] = set()
        open_ends = [tensor]
        while open_ends:
            one = open_ends.pop()
            if one in seen:
                continue
            seen.add(one)
            operator, inputs = self._makers.get(one, ("", ()))
            if one in wanted or operator not in _REARRANGING or not inputs:
                found.add(one)
            else:
                open_ends += inputs if operator in _JOINING else inputs[:1]
        return found
