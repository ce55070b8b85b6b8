"""Step 4: one exchange with a service. Each module builds on the modules below it.

client          chooses the connection for a request
pool            keeps idle connections
response        the head of a response, and its body as it arrives
reuse           whether a connection may carry another request
connection      opens a connection, sends a request, reads the head of the response
channel         waits for both sides of an exchange at once
request, request_body   the request to the service
framing         parses the bytes of a response; no I/O
recv, descriptors       small reads, and the limit on file descriptors

`redirects` follows the redirects of a service in the query form; it sends through `client`.
"""
