"""A provincial wrapper of the national axis (LGSP), with a login, a bearer token and JSON."""
