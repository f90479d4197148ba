"""What an accelerator takes. Pure: a side interpreter without our dependencies imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What a model is wanted for.

    Attributes:
        accelerator: its name.
        formats: that it takes.
        compiled: it takes only files made for it (``accelerator`` in the manifest).
        per_tensor: it takes only weights with one scale for each tensor (``per_tensor`` there).
    """

    accelerator: str
    formats: frozenset[str]
    compiled: bool = False
    per_tensor: bool = False
