"""Hardware of the comparison that started the project, which nobody sells or drives any more.

Each keeps its row in the table of ``appliance probe``. Nothing imports this room: what is in it is
added by entry points in our own ``pyproject.toml``, through the door that other packages use.
"""
