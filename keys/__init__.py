"""Custody of the hub's private keys: what signs and unwraps, and never what verifies."""
