"""A stand-in for Meta and for a language model, to try and to test the system without either.

It judges the services, so it shares no product code with them: what it signs, checks and counts is
its own reading of Meta's documentation.
"""
