"""Must-deliver messages that wait for whoever takes them; shared by the sinks that must deliver."""
