"""Benchmarks: the end-to-end method beside the inference-only one, in one run."""
