"""What the tests are built from: a scripted service, real servers, and a client that hides nothing."""
