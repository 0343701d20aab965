"""The simulated part of Facebook: Pages, people, threads and Meta's rules. No I/O; time passed in.

Moments are integer milliseconds since 1970, as in Meta's webhooks.
"""
