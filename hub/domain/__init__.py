"""Decisions and facts: no I/O, no clock, no wire."""
