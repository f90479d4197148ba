"""Families of metrics; keys of ``values`` are tuples with one text for each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping


def gauge(
    name: str,
    text: str,
    values: Mapping[Any, float | None],
    labels: tuple[str, ...] = (),
) -> GaugeMetricFamily:
    """Return a gauge; what is None has no series."""
    family = GaugeMetricFamily(f"appliance_{name}", text, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(list(key), float(value))
    return family


def counter(
    name: str, text: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()
) -> CounterMetricFamily:
    """Return a counter."""
    family = CounterMetricFamily(f"appliance_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family
