"""Tunnels: WebSockets and streams that leave the server, so that they hold no worker thread.

`handshake` checks both sides of an upgrade, `websocket` and `detach` decide which responses leave,
`hijack` takes the visitor's connection out of the WSGI server, and `relay` carries the bytes. If
the connection cannot leave (Python terminates TLS), `blocking` carries a WebSocket's bytes in the
worker's thread.
"""
