"""What changes while somebody looks: hints for browsers, as soon as the new state can be read."""
