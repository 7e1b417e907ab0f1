"""The nouns: frozen, typed, with no behaviour that needs more than their own fields."""
