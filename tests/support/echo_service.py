"""An echoing WebSocket service as a process of its own, which a test can kill.

`python -m tests.support.echo_service` prints its port and serves until it is ended.
"""

from __future__ import annotations

from websockets.sync.server import ServerConnection, serve

from .ports import bound_socket


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def main() -> None:
    sock = bound_socket()
    sock.listen()
    with serve(echo, sock=sock, max_size=None) as server:
        print(sock.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
