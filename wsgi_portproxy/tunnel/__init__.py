"""Tunnels: WebSockets that leave the server, so that none holds a worker thread.

`handshake` judges both sides of the upgrade, `handover` takes the visitor's connection out of the
WSGI server, `relay` carries the bytes; `pump` does so in the worker's thread where the connection
cannot leave it (TLS that Python itself ends).
"""
