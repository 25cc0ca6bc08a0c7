"""Time-stamping authorities over HTTP."""
