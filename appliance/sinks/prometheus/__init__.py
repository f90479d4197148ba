"""Prometheus: ``/metrics``, and the textfile of the node exporter."""
