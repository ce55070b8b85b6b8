"""What the tests are built from: a scripted service, real servers, a client that hides nothing."""
