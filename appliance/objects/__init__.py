"""Objects: who was in front of the camera, from what was seen in each frame.

Detections are of one frame and know nothing of the next. Here they become tracks (the same object
over time), zones entered and lines crossed, and from these events, counts and totals. Everything is
pure: boxes and times in, values out; one ``Scene`` for each camera.
"""
