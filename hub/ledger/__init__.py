"""The tamper-evident log over the event store."""
