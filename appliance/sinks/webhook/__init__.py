"""Events posted to a receiver of the owner's: in order, at least once, signed."""
