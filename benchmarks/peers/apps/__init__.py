"""What gunicorn runs: each contestant as `application`, in front of the same two services.

Their ports are in the environment: FILES_PORT is nginx with its files, SINK_PORT takes uploads.
"""

from __future__ import annotations

import os

FILES_PORT = int(os.environ["FILES_PORT"])
SINK_PORT = int(os.environ["SINK_PORT"])
FILES = f"http://127.0.0.1:{FILES_PORT}"
SINK = f"http://127.0.0.1:{SINK_PORT}"
