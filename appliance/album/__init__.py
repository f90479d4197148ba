"""Pictures that leave the unit: when one is taken, and how it becomes a JPEG."""
