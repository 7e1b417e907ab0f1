"""From a host's files to the nouns of the model: what is there is read, what is absent stays None."""
