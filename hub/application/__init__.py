"""Use cases: one method for each thing a person or system asks of the hub."""
