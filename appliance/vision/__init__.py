"""What turns a frame into a model's input, and its outputs into detections. Pure."""
