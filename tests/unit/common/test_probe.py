"""What an image's health check asks of the service beside it."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from libs.common.probe import main, probe


class Answers(http.server.BaseHTTPRequestHandler):
    """200 to /healthz, 503 to everything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_service_that_answers_is_well(port: int) -> None:
    assert main([], {"HTTP_PORT": str(port)}) == 0


def test_one_that_refuses_is_not(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/readyz"], {"HTTP_PORT": str(port)}) == 1
    assert capsys.readouterr().err == "/readyz: answered 503\n"


def test_nor_is_one_that_is_not_there() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        assert "no answer" in (probe(taken.getsockname()[1], "/healthz") or "")


def test_nor_is_one_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in (probe(silent.getsockname()[1], "/healthz", within_s=0.05) or "")


def test_it_has_to_know_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 1
    assert capsys.readouterr().err == "HTTP_PORT is not a port\n"
