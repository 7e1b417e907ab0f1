"""How many more copies of a guest fit, and what one more would need."""
