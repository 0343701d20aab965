"""`python -m simulator`."""

import sys

from libs.common.service import run
from libs.common.settings import EX_CONFIG, load
from simulator.app import NAME, create_service
from simulator.settings import Settings
from simulator.store import BrokenStateError


def main() -> None:
    settings = load(Settings)
    try:
        run(lambda: create_service(settings), settings.http, settings.runtime, NAME)
    except BrokenStateError as error:
        print(error, file=sys.stderr)
        sys.exit(EX_CONFIG)


if __name__ == "__main__":
    main()
