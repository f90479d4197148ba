"""The bounded queue and the thread that every outlet stands behind."""
