"""How cells share nodes out among them: ways to fill a node, and how many of each cover all cells."""
