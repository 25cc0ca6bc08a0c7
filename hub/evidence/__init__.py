"""What `hub.proof` leaves unchecked: chains of certificates in the past, and timestamp tokens."""
