"""A second replica of a service, beside the one of the stack."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deploy.local.ports import HOST
from tests.stack import LocalStack

READY_WITHIN_S = 180.0
STOPPED_WITHIN_S = 60.0


class Replica:
    """Has the environment of the first one, but for its port and its name at Kafka."""

    def __init__(self, stack: LocalStack, service: str) -> None:
        self.service = service
        self._stack = stack
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it is ready."""
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        environment = _environment(self._stack.component(self.service)["pid"])
        environment |= {
            "HTTP_PORT": str(port),
            "KAFKA_INSTANCE_ID": f"{self.service}-2",
            "KAFKA_LEAVE_ON_STOP": "true",
        }
        log = self._stack.folder.log_of(f"{self.service}-2")
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.service}"],
                env=environment,
                stdout=file,
                stderr=file,
            )
        self._until_ready(f"http://{HOST}:{port}/readyz", log)

    def end(self, number: int) -> int:
        """Send it the signal; its exit status, once it has ended."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _until_ready(self, url: str, log: Path) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            try:
                with urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"the second {self.service} is not ready; see {log}")


def _environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "surrogateescape")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


@contextmanager
def second(stack: LocalStack, *services: str) -> Iterator[dict[str, Replica]]:
    """Inside, each of these has a second replica; it has ended afterwards, one way or the other."""

    replicas = {service: Replica(stack, service) for service in services}
    with ExitStack() as ending:  # each, whatever becomes of another
        for replica in replicas.values():
            ending.callback(replica.end, signal.SIGTERM)
        for replica in replicas.values():
            replica.start()
        yield replicas
