"""Tunnels: WebSockets and streams that leave the server, so that they hold no worker thread.

`handshake` judges both sides of an upgrade, `websocket` and `detach` decide what leaves, `hijack`
takes the visitor's connection out of the WSGI server, and `relay` carries the bytes. If the
connection cannot leave (Python itself ends TLS), `blocking` carries them in the worker's thread.
"""
