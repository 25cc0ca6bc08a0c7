"""The national axis as its operator's client library speaks to it (SDKVXP 2.0.1)."""
