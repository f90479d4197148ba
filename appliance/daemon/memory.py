"""What one start of the daemon leaves for the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from appliance.daemon.objectbook import ObjectBook
from appliance.daemon.ownership import Ownership

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """What one start of the daemon leaves for the next.

    Attributes:
        book: what cameras counted, and whom they followed.
        ownership: of retained topics.
        changes_file: what commands changed; None to forget it with the process.
    """

    book: ObjectBook
    ownership: Ownership
    changes_file: Path | None

    @classmethod
    def of_this_process(cls) -> Self:
        """Return a memory that ends with the process."""
        return cls(ObjectBook(), Ownership(), None)

    @classmethod
    def kept_in(cls, folder: Path, device: str) -> Self:
        """Return the memory of a device, kept in a folder that survives power cuts."""
        return cls(
            ObjectBook(folder / f"objects-{device}.json"),
            Ownership(folder / f"retained-{device}.json"),
            folder / f"changes-{device}.json",
        )
