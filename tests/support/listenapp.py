"""An app whose own process listens for the port form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsgi_portproxy import Listen, PortProxy, UrlForms

from .hostapp import HOSTS, MOUNT, app, may_view

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

OFFSET = 10000
application: WSGIApplication = PortProxy(
    app,
    authorizer=may_view,
    mount=MOUNT,
    hosts=HOSTS,
    urls=UrlForms(host_template=f":{{port+{OFFSET}}}", listen=Listen()),
)
