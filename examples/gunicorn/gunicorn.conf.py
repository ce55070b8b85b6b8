"""gunicorn settings for an app wrapped with PortProxy, each with its reason.

    gunicorn --config examples/gunicorn/gunicorn.conf.py mysite.wsgi:application

Options on the command line win over this file.
"""

# Loopback only. Put nginx, Caddy or a load balancer in front for TLS and for slow clients. The
# README has the lines for nginx and for Caddy: with nginx's defaults event streams arrive in lumps.
bind = "127.0.0.1:8000"

# In the port form, UrlForms(host_template=":{port+10000}"), each service has a port of the site.
# Where no front-end listens on these, gunicorn does (on "0.0.0.0" for visitors from elsewhere):
#
#     from wsgi_portproxy import port_addresses
#     bind = [bind, *port_addresses(":{port+10000}", range(16000, 16100), "127.0.0.1")]
#
# With ":{port}" that has to be an address of its own: neither loopback, where the services are, nor
# all addresses (0.0.0.0).

# Several requests at a time. The sync worker works too, but a slow page of the app stops everybody.
worker_class = "gthread"

# One process per core is the usual start. Every process has its own connections to the services
# and its own threads, so the numbers below count once for each.
workers = 2

# A request for a service waits in a thread for 0.03 s at most (`detach_after`). Then it leaves for
# the one thread that waits for all of them and carries WebSockets and streams. So reckon with the
# requests for the app's own pages that run at the same time, divided by `workers`. A few threads
# suffice where these are quick; an idle thread costs little.
threads = 32

# Connections that one worker holds, running and idle together; beyond it nobody new is let in.
# Idle ones need no thread, only a descriptor. WebSockets and requests that left do not count here:
# their number follows from the limit on descriptors (`ulimit -n`, LimitNOFILE in systemd; two for
# each), or from PortProxy's `Limits.tunnels`.
worker_connections = 1000

# Seconds in which a worker must show that it is alive. A gthread worker does so from its main
# thread, so this does not limit requests: a stream may run for hours.
timeout = 30

# Seconds that a worker gets to end when it is told to stop (SIGTERM, a reload); then it is killed.
# Requests that wait for a service get ten of these, and then a 503; WebSockets are told goodbye;
# streams get two seconds more. So this is longer than twelve.
graceful_timeout = 15

# Seconds that an idle connection stays open for the next request. Notebooks and dashboards ask
# every few seconds. Behind a front-end, keep this above the front-end's own idle time (10 seconds
# in the README's lines): else a POST may be sent on a connection that is just being closed.
keepalive = 15

# Off: a worker that reaches this many requests restarts, and ends what it carries: WebSockets have
# to connect again, streams are cut, and what waits for longer than ten seconds is a 503.
# Turn it on only against a leak in your app, with `max_requests_jitter` so that the workers do not
# restart all at once.
max_requests = 0
max_requests_jitter = 0

# Bytes of the request line. Dashboards put their whole state into the query; the default 4094 is
# short for that. 8190 is the most that gunicorn allows, short of no limit. The front-end has to
# take as much, here and below (`large_client_header_buffers` of nginx, `max_header_size` of Caddy).
limit_request_line = 8190

# Bytes of one header. The app and the services share one host name, hence one Cookie header; when
# it is longer than this, gunicorn answers 431.
limit_request_field_size = 16380

# Who may set X-Forwarded-Proto and the like: the front-end on this machine, nobody else. It
# concerns the scheme only: for the visitor's address put werkzeug's ProxyFix around the app, as the
# README shows.
forwarded_allow_ips = "127.0.0.1,::1"

# "drop" (the default, stated since it matters here): X_Forwarded_For with underscores reaches
# WSGI under the same name as the real header and could replace it.
header_map = "drop"

# Each worker imports the app itself. Nothing that the proxy opens exists before the fork either
# way; turn it on to share memory, if your app opens no connection while it is imported.
preload_app = False

# A socket for an administration tool in the home folder; two gunicorns of one user would share it.
control_socket_disable = True

# Errors go to the terminal or the journal.
errorlog = "-"

# Without the query and the Referer: services carry tokens there (`?token=...` of Jupyter), and
# logs are read by more people than may open the service. Switch it on with --access-logfile -
accesslog = None
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(L)ss'
