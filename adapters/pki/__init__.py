"""Public key infrastructure of others, asked over HTTP."""
