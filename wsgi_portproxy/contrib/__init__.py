"""Authorizers that run with a framework's own request, session and user in place."""
