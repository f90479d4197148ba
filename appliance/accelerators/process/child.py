"""The child's end: loads one engine, answers requests until the socket closes.

Started as ``python child.py CONTROL_FD MEMORY_FD``; needs Python 3.6 and numpy, and imports
nothing of the appliance unless the engine does. An engine is a class with::

    open(model, threads, options) -> dict   outputs: [(name, dtype, shape), ...], runtime: its
                                            version, placement: where the model runs
    infer(picture, outputs)                 picture: uint8 RGB (height, width, 3); fills outputs
    close()

``model`` is a dict: id, path, weights (a second file or ""), width, height, kind ("uint8" or
"float32"), scale, offset, outputs (names wanted, in order). What an engine raises may carry
``kind``: "unavailable" (device or runtime), "model" (refused), "lost" (the device is gone) or
"failed" (this inference only).
"""

import importlib
import importlib.util
import json
import mmap
import os
import select
import socket
import struct
import sys
import threading
import time

import numpy as np

_HEADER = struct.Struct("<I")
_ALIGNMENT = 64
_GRACE_SECONDS = 3


def _receive(control):
    head = _exactly(control, _HEADER.size)
    if head is None:
        return None
    body = _exactly(control, _HEADER.unpack(head)[0])
    return None if body is None else json.loads(body.decode("utf-8"))


def _exactly(control, size):
    parts = []
    while size:
        part = control.recv(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(control, message):
    body = json.dumps(message).encode("utf-8")
    control.sendall(_HEADER.pack(len(body)) + body)


def _load(engine):
    sys.path.append(engine["path"])
    if engine.get("file"):
        spec = importlib.util.spec_from_file_location("appliance_side_engine", engine["file"])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(engine["module"])
    return getattr(module, engine["name"])()


def _aligned(offset):
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


class _Session(object):
    """An open engine with its shared memory."""

    def __init__(self, request, memory_fd):
        model = request["model"]
        shape = (model["height"], model["width"], 3)
        self._engine = _load(request["engine"])
        opened = self._engine.open(model, request["threads"], request["options"])
        places, end = [], _aligned(int(np.prod(shape)))
        for name, dtype, output_shape in opened["outputs"]:
            size = int(np.prod(output_shape)) * np.dtype(dtype).itemsize
            places.append(
                {
                    "name": name,
                    "dtype": np.dtype(dtype).name,
                    "shape": [int(side) for side in output_shape],
                    "offset": end,
                }
            )
            end = _aligned(end + size)
        os.ftruncate(memory_fd, end)
        memory = mmap.mmap(memory_fd, end)
        self._picture = np.ndarray(shape, np.uint8, memory)
        self._outputs = [np.ndarray(p["shape"], p["dtype"], memory, p["offset"]) for p in places]
        self.answer = {
            "ok": True,
            "size": end,
            "outputs": places,
            "runtime": opened["runtime"],
            "placement": opened["placement"],
            "python": "%d.%d.%d" % sys.version_info[:3],
        }

    def infer(self):
        self._engine.infer(self._picture, self._outputs)

    def close(self):
        self._engine.close()


def _refusal(error, kind):
    if isinstance(error, ImportError):
        kind = "unavailable"
    text = str(error) or type(error).__name__
    return {"ok": False, "kind": getattr(error, "kind", kind), "error": text}


def _end_with_the_other_end(fd):
    """End the process when the other end hangs up, even if the runtime hangs."""
    poll = select.poll()
    poll.register(fd, 0)  # POLLHUP and POLLERR are always reported
    poll.poll()
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def main():
    """Serve until the other end hangs up."""
    control = socket.socket(fileno=int(sys.argv[1]))
    watcher = threading.Thread(target=_end_with_the_other_end, args=(control.fileno(),))
    watcher.daemon = True
    watcher.start()
    memory_fd = int(sys.argv[2])
    session = None
    while True:
        request = _receive(control)
        if request is None:
            break
        try:
            if request["op"] == "open":
                session = _Session(request, memory_fd)
                answer = session.answer
            else:
                session.infer()
                answer = {"ok": True}
        except Exception as error:  # whatever it is, the other end must learn of it
            answer = _refusal(error, "model" if request["op"] == "open" else "failed")
        _send(control, answer)
    if session is not None:
        session.close()


if __name__ == "__main__":
    sys.path.pop(0)
    main()
