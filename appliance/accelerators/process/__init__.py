"""A runtime in a process of its own: it may hang, abort or crash without taking us along.

``child.py`` runs there, under any Python from 3.6 with numpy (a *side interpreter* where a
vendor's wheels stop at an old one); ``host.py`` is our end. Pictures and output tensors lie in
shared memory; a socket carries one short JSON message each way.
"""
