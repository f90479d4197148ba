"""What runs the unit: wiring, housekeeping, watchdog, reload."""
