"""django-revproxy's ProxyView in a Django without any middleware, with the two services.

Two settings are in its favour: bodies of any size are read, and the warnings of its connection
pool, which keeps one connection and says so for each that it throws away, are not written.
"""

from __future__ import annotations

import logging

import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="for a benchmark on the loopback interface",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    REVPROXY={"QUOTE_SPACES_AS_PLUS": True},
)
django.setup()
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

from django.core.wsgi import get_wsgi_application  # noqa: E402  # needs the settings
from django.urls import re_path  # noqa: E402
from revproxy.views import (  # type: ignore[import-not-found]  # noqa: E402  # only in .venv-peers
    ProxyView,
)

from benchmarks.peers.apps import FILES, SINK  # noqa: E402

urlpatterns = [
    re_path(r"^files/(?P<path>.*)$", ProxyView.as_view(upstream=FILES)),
    re_path(r"^sink/(?P<path>.*)$", ProxyView.as_view(upstream=SINK)),
]

application = get_wsgi_application()
