"""`python -m tests.fuzz.hunt TARGET …`: one target under atheris, until it breaks or time is up.

What follows is for libFuzzer: a file to try, or folders to read and write, `-max_total_time=60`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["services", "libs"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *arguments = sys.argv[1:]
    with TARGETS[name].open() as send:
        atheris.Setup([sys.argv[0], *arguments], send)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
