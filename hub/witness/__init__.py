"""A witness: it cosigns other people's logs as long as they only grow. Knows no hub."""
