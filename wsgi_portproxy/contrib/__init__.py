"""Authorizers that can use a framework's own request, session and user."""
