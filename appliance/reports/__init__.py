"""What leaves: each message made, numbered and encoded once."""
