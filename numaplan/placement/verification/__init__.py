"""The independent proof of a plan: every meaning worked out anew from the request and the snapshot alone."""
