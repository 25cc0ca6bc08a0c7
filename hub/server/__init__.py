"""The gRPC edge: read the request, call the hub, write the response."""
