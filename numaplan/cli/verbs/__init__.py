"""One module a verb: its options, its help, and what it imports when it runs."""
