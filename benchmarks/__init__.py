"""Measurements of wsgi_portproxy, each one command; what they found: results/, history.md."""
