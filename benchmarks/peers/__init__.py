"""wsgi_portproxy side by side with its peers: `python -m benchmarks.peers` in .venv-peers."""
