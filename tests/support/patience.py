"""How long a test waits for what must come before it says that it never came."""

PATIENCE_S = 240.0
"""Guards against waiting for ever, and says nothing of how fast anything is.

A machine that is slow, or busy with something else, gets the time it needs; what is right comes
as soon as it comes. Below the limit of a whole test in `pyproject.toml`.
"""
