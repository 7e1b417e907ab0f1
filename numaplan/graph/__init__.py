"""The host as a graph: built from a snapshot, asked, exported."""
