"""A board that heats up, in simulated time: to prove the governor, and to draw what it does."""
