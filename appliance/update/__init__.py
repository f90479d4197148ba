"""Updates: what the script, which is root, and the daemon tell each other."""
