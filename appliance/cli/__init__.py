"""The command line: one file a verb, imported only when it is called."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib import import_module
from typing import Any

from appliance import __version__
from appliance.errors import ApplianceError

# verb: (module, what it does)
VERBS: dict[str, tuple[str, str]] = {
    "run": ("appliance.cli.run", "the daemon: capture, detect, publish until stopped"),
    "demo": ("appliance.cli.demo", "everything at once, without camera, broker or root"),
    "watch": ("appliance.cli.watch", "subscribe to an appliance and show it live"),
    "detect": ("appliance.cli.detect", "run the detector on pictures"),
    "bench": ("appliance.cli.bench", "measure end-to-end and inference-only speed"),
    "probe": ("appliance.cli.probe", "list accelerators: found, or refused and why"),
    "check": ("appliance.cli.check", "check configuration, model, cameras and broker"),
    "doctor": ("appliance.cli.doctor", "say what is wrong, and pack what helps to find out"),
    "models": ("appliance.cli.models", "list, verify and fetch models, add your own"),
    "setup": ("appliance.cli.setup", "prepare a flashed card at boot (run by systemd)"),
    "update": ("appliance.cli.update", "newer software: look, install, prove or take back"),
    "schema": ("appliance.cli.schema", "print message schemas and the configuration reference"),
    "telemetry": ("appliance.cli.telemetry", "print what the board's sensors say"),
}
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code (2, 65, 69, 70, 75, 78: see errors.py)."""
    words = sys.argv[1:] if arguments is None else arguments
    _be_quiet()
    parser = _parser()
    if not words or words[0] not in VERBS:
        parser.parse_args(words)
        parser.print_help()
        return 2
    module_name, summary = VERBS[words[0]]
    module = import_module(module_name)
    verb_parser = argparse.ArgumentParser(
        prog=f"appliance {words[0]}", description=summary[0].upper() + summary[1:] + "."
    )
    verb_parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    module.add_arguments(verb_parser)
    options = verb_parser.parse_args(words[1:])
    _set_up_logging(verbose=options.verbose)
    return _run_verb(words[0], module, options)


def _run_verb(verb: str, module: Any, options: argparse.Namespace) -> int:
    """Run the verb; turn what it raises into a message and an exit code."""
    code = ApplianceError.exit_code
    try:
        code = int(module.run(options))
    except ApplianceError as error:
        print(f"appliance {verb}: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        print(f"appliance {verb}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception:
        logging.getLogger(__name__).exception("this is a defect of the appliance, please report it")
    return code


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VERBS))
    listing = "\n".join(f"  {verb:<{width}}  {summary}" for verb, (_, summary) in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="appliance",
        description="Real-time camera detection appliance.",
        epilog=f"verbs:\n{listing}\n\n`appliance VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    parser.add_argument("verb", nargs="?", choices=list(VERBS), metavar="VERB")
    return parser


def _be_quiet() -> None:
    """Ask native libraries to leave standard error to us; set before they are loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _set_up_logging(*, verbose: bool) -> None:
    """Log to the journal where systemd reads standard error, else as plain lines."""
    level = logging.DEBUG if verbose else logging.INFO
    handler: logging.Handler = logging.StreamHandler()
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _JournalFormatter(logging.Formatter):
    """Prefixes the level as sd-daemon(3) wants it: <3> error, <4> warning, <6> info."""

    def format(self, record: logging.LogRecord) -> str:
        priority = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}.get(record.levelno, 7)
        return f"<{priority}>{super().format(record)}"
