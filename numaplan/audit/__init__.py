"""Rules that judge the guests of a host, and what they find: pure functions of a snapshot."""
