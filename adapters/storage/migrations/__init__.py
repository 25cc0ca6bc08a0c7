"""The steps by which the database's schema came to be what it is; forward only."""
