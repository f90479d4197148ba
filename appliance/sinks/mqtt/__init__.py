"""MQTT: the sink, its connection, what waits for it, and the outbox on disk."""
