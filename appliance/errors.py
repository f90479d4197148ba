"""Every exception the appliance raises on purpose, in one tree.

::

    ApplianceError
    ├── UsageError              2   the command line makes no sense
    ├── ConfigError            78   the configuration is wrong (all faults listed)
    ├── BadInputError          65   data that cannot be used
    │   ├── ModelError
    │   ├── LabelsError
    │   └── MediaError
    ├── UnavailableError       69   a needed thing is not there
    │   ├── SourceUnavailableError
    │   ├── AcceleratorUnavailableError
    │   └── BrokerUnavailableError
    ├── SourceLostError        69   a camera that ran is gone (retryable)
    ├── FrameError             70   one frame cannot be used (retryable: the next may)
    │   └── NotInferredError        the sensor that infers by itself left this one out
    ├── DetectorError          70   inference failed (retryable)
    │   └── DetectorLostError       its accelerator is gone: another one has to take over
    ├── StalledError           75   a thread hangs in a driver: only a restart helps
    └── BusyError              75   another instance holds the device

Each carries what to do about it (``hint``), whether trying again can help (``retryable``) and
the exit code of the process when it ends there (sysexits.h).
"""

from __future__ import annotations

from typing import ClassVar


class ApplianceError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: names the thing and says what is wrong with it.
        hint: what a person can do about it; empty if nothing is known.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(ApplianceError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class ConfigError(ApplianceError, ValueError):
    """The configuration cannot be used; ``faults`` lists every reason, not only the first."""

    exit_code = 78

    def __init__(self, message: str, *, hint: str = "", faults: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {fault}" for fault in self.faults)])


class BadInputError(ApplianceError, ValueError):
    """Data that was handed in cannot be used."""

    exit_code = 65


class ModelError(BadInputError):
    """A model file is missing, damaged, or not a detector that we can run."""


class LabelsError(BadInputError):
    """A label list does not fit its model."""


class MediaError(BadInputError):
    """A picture or video cannot be read."""


class UnavailableError(ApplianceError):
    """Something needed is not there (now)."""

    exit_code = 69


class SourceUnavailableError(UnavailableError):
    """A camera, stream or device cannot be opened."""

    retryable = True


class AcceleratorUnavailableError(UnavailableError):
    """The chosen accelerator, or its runtime, is not there."""


class BrokerUnavailableError(UnavailableError):
    """The MQTT broker cannot be reached or refuses us."""

    retryable = True


class SourceLostError(ApplianceError):
    """A camera that delivered frames stopped doing so."""

    retryable = True
    exit_code = 69


class FrameError(ApplianceError, ValueError):
    """One frame is unusable (truncated, wrong shape); the next may be fine."""

    retryable = True


class NotInferredError(FrameError):
    """A camera that detects by itself gave no result for this frame: not "nothing seen"."""


class DetectorError(ApplianceError):
    """Inference on one frame failed."""

    retryable = True


class DetectorLostError(DetectorError):
    """The accelerator is gone (unplugged, crashed, hung); this detector will not work again."""


class StalledError(ApplianceError, TimeoutError):
    """A thread hangs in native code; it cannot be ended, only the process can."""

    exit_code = 75


class BusyError(ApplianceError):
    """Another instance holds what this one needs."""

    exit_code = 75
