"""The `lienthong` command: one module for each noun, thin over the client and the proofs."""
