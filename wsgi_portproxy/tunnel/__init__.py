"""WebSockets, and requests that wait or stream: they leave the server and hold no thread of it.

`handshake` checks both sides of an upgrade, `websocket` and `detach` decide what leaves, `hijack`
takes the visitor's connection out of the WSGI server, `waiting` drives the exchange until there is
a reply, and `relay` carries the bytes. If the connection cannot leave (Python terminates TLS),
`blocking` carries a WebSocket's bytes in the worker's thread.
"""
