"""Sony IMX500 (Raspberry Pi AI Camera): frames arrive with what the sensor itself detected.

Sources: picamera2 0.3.38, ``picamera2.devices.IMX500`` and its object detection example. The
post-processed networks give boxes (n, 4) as y0, x0, y1, x1, scores, classes and a count. A frame
without tensors is not one in which nothing was seen: it is dropped as ``not_inferred``.

What is real in its tests: docs/sources.md.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from appliance.errors import (
    ApplianceError,
    NotInferredError,
    SourceLostError,
    SourceUnavailableError,
)
from appliance.models import find_models_folder
from appliance.models.manifest import COCO_LABELS
from appliance.sources.camera.manager import QUEUE_READERS
from appliance.sources.camera.picamera2 import make_camera, shut
from appliance.sources.camera.stamps import StampVerifier
from appliance.values import ClockOrigin, Floats, Frame, PixelFormat, Seen

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

DEFAULT_NETWORK = Path(
    "/usr/share/imx500-models/imx500_network_ssd_mobilenetv2_fpnlite_320x320_pp.rpk"
)
_BUFFERS = 4
_TASK = "object detection"
_COCO_OFFSET = 1
"""Class 0 of these networks is a person, which is line 1 of our file."""
log = logging.getLogger(__name__)


DETECTS = True


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of an AI Camera."""

    network: Annotated[
        str, msgspec.Meta(description="Network file (.rpk) with post-processing inside.")
    ] = str(DEFAULT_NETWORK)
    frame_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 2.0


class Imx500Source:
    """Sony IMX500 (Raspberry Pi AI Camera): frames arrive with what the sensor itself detected."""

    live = True
    open_seconds = 600.0
    """A network that the sensor does not hold yet takes minutes to load into it."""

    def __init__(self, request: SourceRequest) -> None:
        self._settings = request.camera
        self._options: Options = request.options
        self._clock = request.clock
        self._stamps = StampVerifier(request.clock, ClockOrigin.SENSOR)
        self._sensor: Any = None
        self._camera: Any = None
        self._labels: tuple[str, ...] = ()
        self._seq = 0

    def open(self) -> None:
        """Load the network into the sensor, then start the camera and wait for its first frame.

        Raises:
            SourceUnavailableError: no picamera2, no sensor, no network file, or it does not start.
        """
        network = Path(self._options.network)
        if not network.is_file():
            raise SourceUnavailableError(
                f"camera imx500: network {network} is not there", hint="apt install imx500-all"
            )
        try:
            devices, picamera2 = import_module("picamera2.devices"), import_module("picamera2")
        except Exception as error:  # of a library for another numpy: ValueError
            raise SourceUnavailableError(
                f"camera imx500: picamera2 is not usable: {error}",
                hint="apt install imx500-all python3-picamera2",
            ) from error
        QUEUE_READERS.enter(self, "picamera2")
        try:
            self._sensor = devices.IMX500(str(network))  # before the camera: it loads the network
            _check(self._sensor.network_intrinsics, network)
            self._labels = _labels(self._sensor, network)
            self._camera = make_camera(picamera2, _index(picamera2, self._sensor.camera_num))
            settings = self._settings
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": (settings.width, settings.height), "format": "RGB888"},
                    controls={"FrameRate": settings.fps},
                    buffer_count=_BUFFERS,
                )
            )
            self._camera.start()
            self._camera.capture_request(wait=self.open_seconds).release()
        except BaseException as error:  # picamera2 raises what its parts raise, StopIteration too
            self.close()
            if isinstance(error, ApplianceError) or not isinstance(error, Exception):
                raise
            reason, hint = _explained(error)
            raise SourceUnavailableError(
                f"camera imx500: cannot be started: {reason}", hint=hint
            ) from error

    def read(self) -> Frame | None:
        """Return the next frame with what the sensor saw in it.

        Raises:
            NotInferredError: this frame carries no tensors.
            SourceLostError: no frame within the time-out.
        """
        if self._camera is None:
            raise SourceLostError("camera imx500: is closed")
        read_ns = self._clock.monotonic_ns()
        try:
            request = self._camera.capture_request(wait=self._options.frame_timeout_seconds)
        except Exception as error:
            raise SourceLostError("camera imx500: stopped delivering") from error
        seq, self._seq = self._seq, self._seq + 1
        try:
            metadata = request.get_metadata()
            seen = self._seen(metadata)
            captured_ns, origin = self._stamps.stamp(metadata.get("SensorTimestamp"), read_ns)
            width, height = self._camera.camera_configuration()["main"]["size"]
            picture = np.asarray(request.make_array("main"), np.uint8)[:height, :width, :3]
            return Frame(
                planes=(picture,),
                format=PixelFormat.BGR24,
                width=width,
                height=height,
                captured_ns=captured_ns,
                seq=seq,
                origin=origin,
                release=request.release,
                seen=seen,
            )
        except BaseException:
            request.release()
            raise

    def close(self) -> None:
        """Stop and release the camera, also one that hangs."""
        camera, self._camera = self._camera, None
        if camera is not None:
            shut(camera, "imx500")
        QUEUE_READERS.leave(self)

    def _seen(self, metadata: dict[str, Any]) -> Seen:
        outputs = self._sensor.get_outputs(metadata, add_batch=True)
        if outputs is None:
            raise NotInferredError("camera imx500: the sensor gave no result for this frame")
        if len(outputs) < 3:
            raise SourceLostError(
                f"camera imx500: the network gives {len(outputs)} outputs, not boxes, scores and "
                "classes",
                hint="take one with post-processing inside: its name ends in _pp",
            )
        boxes, scores, classes = (np.asarray(one[0], np.float32) for one in outputs[:3])
        if len(outputs) > 3:
            count = int(np.asarray(outputs[3]).reshape(-1)[0])
            boxes, scores, classes = boxes[:count], scores[:count], classes[:count]
        return Seen(
            accelerator="imx500",
            model_id=Path(self._options.network).stem,
            boxes=self._to_frame(self._yxyx(boxes), metadata),
            scores=np.ascontiguousarray(scores),
            names=tuple(self._name(int(number)) for number in classes),
        )

    def _yxyx(self, boxes: Floats) -> Floats:
        """Return boxes as y0, x0, y1, x1 in 0..1 of the network's input."""
        intrinsics = self._sensor.network_intrinsics
        if getattr(intrinsics, "bbox_normalization", None):
            boxes = boxes / np.float32(self._sensor.get_input_size()[1])
        if getattr(intrinsics, "bbox_order", None) == "xy":
            boxes = boxes[:, [1, 0, 3, 2]]
        return boxes

    def _to_frame(self, boxes: Floats, metadata: dict[str, Any]) -> Floats:
        """Map boxes of the sensor's view to xmin, ymin, xmax, ymax in 0..1 of the frame."""
        width, height = self._camera.camera_configuration()["main"]["size"]
        rows = []
        for box in boxes:
            place = self._sensor.convert_inference_coords(tuple(box), metadata, self._camera)
            x, y, w, h = _rectangle(place)
            rows.append((x / width, y / height, (x + w) / width, (y + h) / height))
        return np.asarray(rows, np.float32).reshape(-1, 4)

    def _name(self, number: int) -> str:
        known = 0 <= number < len(self._labels) and self._labels[number] not in {"", "-"}
        return self._labels[number] if known else f"class_{number}"


def _index(picamera2: Any, number: int) -> int:
    """Return what ``Picamera2()`` calls the camera that has ``number`` at libcamera.

    IMX500.camera_num is the latter; they differ where libcamera lists cameras in another order.
    """
    listed = picamera2.Picamera2.global_camera_info()
    return next(index for index, camera in enumerate(listed) if camera["Num"] == number)


def _check(intrinsics: Any, network: Path) -> None:
    """Refuse a network of which its own description says that it gives something else.

    Raises:
        SourceUnavailableError: no detection, or it wants post-processing on this computer.
    """
    task = getattr(intrinsics, "task", None)
    if task and task != _TASK:
        raise SourceUnavailableError(
            f"camera imx500: {network.name} is a network for {task}",
            hint="take one for object detection: apt install imx500-models",
        )
    wanted = getattr(intrinsics, "postprocess", None)
    if wanted:
        raise SourceUnavailableError(
            f"camera imx500: {network.name} wants post-processing outside the sensor ({wanted})",
            hint="take one with post-processing inside: its name ends in _pp",
        )


def _labels(sensor: Any, network: Path) -> tuple[str, ...]:
    """Return the names by class number that the network file carries, else COCO's."""
    intrinsics = sensor.network_intrinsics
    labels = tuple(getattr(intrinsics, "labels", None) or ())
    if not labels:
        log.warning("camera imx500: %s carries no labels, COCO's are taken", network.name)
        lines = (find_models_folder()[0] / COCO_LABELS).read_text("utf-8").splitlines()
        labels = tuple("-" if line == "???" else line for line in lines[_COCO_OFFSET:])
    if getattr(intrinsics, "ignore_dash_labels", None):
        labels = tuple(label for label in labels if label and label != "-")
    return labels


def _explained(error: Exception) -> tuple[str, str]:
    """Return what happened and what to do, in words."""
    if isinstance(error, StopIteration):
        return (
            "the sensor is there, but libcamera does not list it",
            "is libcamera up to date, and does its tuning file imx500.json exist?",
        )
    if isinstance(error, FileNotFoundError) and error.filename == "sudo":
        return (
            "picamera2 asks how far the network is loaded through sudo, which is not installed",
            "apt install sudo",
        )
    return str(error) or type(error).__name__, "is the AI Camera connected?"


def _rectangle(place: Any) -> tuple[float, float, float, float]:
    """Return x, y, width, height: newer helpers give a tuple, older ones libcamera's Rectangle."""
    if hasattr(place, "width"):
        return place.x, place.y, place.width, place.height
    x, y, width, height = place
    return x, y, width, height


def create(request: SourceRequest) -> Imx500Source:
    """Return an AI Camera."""
    return Imx500Source(request)
