"""What binds a placed guest to its nodes."""
