"""A thermal plant: heat from work done, cooling to the ambient, and a firmware that slows down.

One lump: C dT/dt = P - (T - ambient) / R. Constants of a bare Raspberry Pi 4, with their source:

* 2.1 W idle and 6.41 W with everything at work: G. Halfacree, "Thermal testing Raspberry Pi 4",
  The MagPi 88 (2019), last firmware.
* R = 10 °C/W: pi-plates.com measured the processor 27.3 °C above the ambient on an idle board; that
  idled at about 2.7 W with the firmware of the time.
* C = 6 J/°C, so that R C is a minute: assumed. The results hold for half and twice of it (tests).
* Power of work goes with the clock to the power of 2: between 1 (voltage fixed) and 3 (voltage
  proportional); assumed.
* The firmware's limit, 80 °C: documentation of config.txt. That it goes down by 100 MHz a second
  above, and up again as soon as it is below, is assumed: the clock then hunts. With a hysteresis of
  3 °C it finds a clock that it can hold; docs/heat.md gives both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Board:
    """Constants of a board."""

    name: str
    idle_watts: float
    busy_watts: float
    resistance: float
    capacity: float
    power_exponent: float
    maximum_megahertz: float
    slowest_megahertz: float
    step_megahertz: float
    soft_celsius: float
    hysteresis_celsius: float
    frames_per_second: float
    """Of all workers together at the full clock, nothing limiting them."""
    compatible: str


PI4 = Board(
    name="Raspberry Pi 4 Model B, bare",
    idle_watts=2.1,
    busy_watts=6.41,
    resistance=10.0,
    capacity=6.0,
    power_exponent=2.0,
    maximum_megahertz=1500.0,
    slowest_megahertz=600.0,
    step_megahertz=100.0,
    soft_celsius=80.0,
    hysteresis_celsius=0.0,
    frames_per_second=12.0,
    compatible="raspberrypi,4-model-b\0brcm,bcm2711\0",
)


@dataclass(frozen=True, slots=True)
class State:
    """Of the plant at one instant; ``throttled`` says that the firmware holds the clock down."""

    celsius: float
    megahertz: float
    throttled: bool = False


def start(board: Board, ambient: float) -> State:
    """Return the board after it idled for long."""
    return State(ambient + board.idle_watts * board.resistance, board.maximum_megahertz)


def capacity(board: Board, state: State) -> float:
    """Return frames a second that the present clock allows."""
    return board.frames_per_second * state.megahertz / board.maximum_megahertz


def advance(board: Board, state: State, ambient: float, fps: float, seconds: float) -> State:
    """Return the state after ``seconds`` of ``fps`` frames a second."""
    load = min(1.0, fps / capacity(board, state))
    clock = state.megahertz / board.maximum_megahertz
    work = (board.busy_watts - board.idle_watts) * load * clock**board.power_exponent
    heat = board.idle_watts + work - (state.celsius - ambient) / board.resistance
    warmer = replace(state, celsius=state.celsius + heat * seconds / board.capacity)
    return _firmware(board, warmer, seconds)


def _firmware(board: Board, state: State, seconds: float) -> State:
    """Lower the clock at the limit, step by step; let it up again below the hysteresis."""
    step = board.step_megahertz * seconds
    if state.celsius >= board.soft_celsius:
        lower = max(board.slowest_megahertz, state.megahertz - step)
        return State(state.celsius, lower, throttled=True)
    if state.throttled and state.celsius < board.soft_celsius - board.hysteresis_celsius:
        higher = min(board.maximum_megahertz, state.megahertz + step)
        return State(state.celsius, higher, throttled=higher < board.maximum_megahertz)
    return state
