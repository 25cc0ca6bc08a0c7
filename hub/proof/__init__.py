"""What anyone can check about this hub with no network, no database and no hub."""
