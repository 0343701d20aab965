"""Loopback ports for tests."""

import socket

HOST = "127.0.0.1"


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
