"""Serve the test app with a server that starts from Python, given its name and a port."""

from __future__ import annotations

import sys

from .hostapp import application
from .streamapp import of_server

if __name__ == "__main__":
    of_server(sys.argv[1], int(sys.argv[2]), application)
