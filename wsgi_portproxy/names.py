"""What others see of us by name: cookies in browsers, keys in an environ, the logger."""

from __future__ import annotations

import logging

#: Begins the names of our own cookies: `portproxy.16006.session` is the cookie `session` of the
#: service on that port, `portproxy.hint3` remembers where a service was opened (`locate.strays`),
#: and `portproxy.copy3` holds one service's cookies for handshakes at the root of the site
#: (`rewrite.cookie_copies`).
COOKIE_PREFIX = "portproxy."

#: The environ key under which a request carries the links of each `PortProxy` that it came through,
#: outermost first, each with the environ as it was there.
LINKS_KEY = "wsgi_portproxy.links"

#: The one logger.
log = logging.getLogger("wsgi_portproxy")
