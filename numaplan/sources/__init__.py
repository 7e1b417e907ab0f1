"""Every door to the world outside: the host's own files, captures of them, and the files that a user names."""
