"""`python -m libs.common.probe [PATH]`: whether the service in this container answers.

For health checks of an image that has no curl. Exit status 0 if `http://127.0.0.1:HTTP_PORT` says
200 to PATH, which is /healthz unless one is given; else 1, and the reason on standard error.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence

WITHIN_S = 4.0  # below the timeout of the checks that start this, so that the reason is told
USUAL_PATH = "/healthz"


def probe(port: int, path: str, within_s: float = WITHIN_S) -> str | None:
    """None: it answered 200. Else what it did instead, in words."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"answered {status}"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    port = environment.get("HTTP_PORT", "")
    if not port.isdecimal():
        print("HTTP_PORT is not a port", file=sys.stderr)
        return 1
    path = arguments[0] if arguments else USUAL_PATH
    if failed := probe(int(port), path):
        print(f"{path}: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
