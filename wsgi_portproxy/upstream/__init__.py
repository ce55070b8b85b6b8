"""Step 4: one exchange with a service, each module on top of those below it.

client          which connection a request goes out on, and what becomes of it afterwards
pool            connections that wait for their next request
response        the head of a response, and its body as it comes
reuse           whether a connection may carry another request
connection      opens a connection, sends a request, reads the head of the response
channel         waits for both sides of an exchange at once
request, request_body   what the service is sent
framing         what the bytes of a response mean; no I/O
recv, descriptors       the operating system's side

`redirects` follows the redirects of a service in the query form, through a `client`.
"""
