"""What a hub measures of itself, as monitoring systems read it."""
