"""Encoded video for files and network cameras: opening, decoding, judging."""
