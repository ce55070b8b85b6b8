"""Many small services that keep their connections: one process, a port for each.

`python -m benchmarks.keeping_service COUNT` prints the ports, and serves until its standard input
ends. It answers every request, with or without a body, with a small page.
"""

from __future__ import annotations

import json
import select
import socket
import sys

from tests.support.ports import bound_socket

_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\na small answer"


def main() -> None:
    listeners = [bound_socket() for _ in range(int(sys.argv[1]))]
    epoll = select.epoll()
    by_fd: dict[int, socket.socket] = {}
    for listener in listeners:
        listener.listen(64)
        by_fd[listener.fileno()] = listener
        epoll.register(listener.fileno(), select.EPOLLIN)
    epoll.register(sys.stdin.fileno(), select.EPOLLIN)
    print(json.dumps({"ports": [one.getsockname()[1] for one in listeners]}), flush=True)
    waiting = {listener.fileno() for listener in listeners}
    while True:
        for fd, _ in epoll.poll():
            if fd == sys.stdin.fileno():
                return
            if fd in waiting:
                sock, _ = by_fd[fd].accept()
                by_fd[sock.fileno()] = sock
                epoll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = by_fd[fd]
            data = sock.recv(65536)  # small requests come whole
            if data:
                sock.sendall(_PAGE)
            else:
                epoll.unregister(fd)
                by_fd.pop(fd).close()


if __name__ == "__main__":
    main()
