"""Witnesses of other people, asked over HTTP."""
