"""A real Home Assistant, without its web pages, that discovers what the tests publish."""
