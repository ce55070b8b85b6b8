"""The names by which others see us: cookies in browsers, keys in an environ, the logger."""

from __future__ import annotations

import logging

#: The prefix of our cookies: `portproxy.16006.session` is the cookie `session` of the service
#: on that port, `portproxy.hint3` remembers where a service was opened (`locate.strays`), and
#: `portproxy.copy1` holds one service's cookies for handshakes at the root of the site
#: (`rewrite.cookie_copies`).
COOKIE_PREFIX = "portproxy."

#: The environ key for a tuple of pairs, one for each `PortProxy` that the request came through,
#: outermost first: its `Links`, and the environ at that point.
LINKS_KEY = "wsgi_portproxy.links"

#: The only logger of the package.
log = logging.getLogger("wsgi_portproxy")
