"""Every port in memory, for tests: stricter than the real ones, and breakable on demand."""
