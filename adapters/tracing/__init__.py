"""Spans of calls, handed to collectors of traces."""
