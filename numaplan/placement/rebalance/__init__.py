"""The fewest and cheapest moves of guests that are there, in an order that works at every step."""
