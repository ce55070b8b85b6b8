"""Serve a test app with a server that starts from Python: its name, a port, and which app it is."""

from __future__ import annotations

import sys
from importlib import import_module

from .streamapp import of_server

HOSTAPP = "hostapp:application"

if __name__ == "__main__":
    module, _, name = (*sys.argv[3:], HOSTAPP)[0].partition(":")
    application = getattr(import_module(f"tests.support.{module}"), name)
    of_server(sys.argv[1], int(sys.argv[2]), application)
