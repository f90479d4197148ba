"""Network cameras for the tests: a real RTSP server, and a bad network in front of it."""
