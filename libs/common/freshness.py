"""When somebody counts as waiting for an answer just now: before a backlog, everywhere."""

FRESH_S = 30.0
"""Whoever wrote longer ago than that has seen that nobody answered at once."""
