"""`/api/v1`: the same for programs, with bearer tokens."""
