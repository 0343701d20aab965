"""`python -m services.sender`."""

from libs.common.service import run
from libs.common.settings import load
from services.sender.app import NAME, create_service
from services.sender.settings import Settings


def main() -> None:
    settings = load(Settings)
    run(
        lambda: create_service(settings),
        settings.http,
        settings.runtime,
        NAME,
        settings.tracing,
    )


if __name__ == "__main__":
    main()
