"""`python -m deploy.capacity`: whether an installation bears so many conversations a day.

`--conversations 100000 --replicas 3 --pages 20`   an installation of your own
`--docs docs/scaling.md`                           writes the document's tables anew
`--measure`                                        measures the costs on a stack that runs, into
                                                   costs.json (`PORT_OFFSET` as for `make up`)
"""

import argparse
import asyncio
import json
import math
import os
from dataclasses import replace
from pathlib import Path

from deploy.capacity import measuring
from deploy.capacity.costs import FILE, Assumed, measured
from deploy.capacity.model import Installation, bears
from deploy.capacity.report import document, judged, with_tables
from deploy.local.ports import HOST, offset_from

PEOPLE, MESSAGES = 150, 4  # fewer messages than look like two machines talking


def main() -> None:
    given = _arguments()
    if given.measure:
        result = asyncio.run(
            measuring.measure(HOST, offset_from(os.environ), people=PEOPLE, messages=MESSAGES)
        )
        FILE.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"written: {FILE}")
    elif given.docs:
        page = given.docs.read_text(encoding="utf-8")
        text = document(measured(), Assumed())
        given.docs.write_text(with_tables(page, text), encoding="utf-8")
    else:
        _print(given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.capacity")
    parser.add_argument("--conversations", type=positive, default=100_000, help="a day")
    parser.add_argument("--replicas", type=count, default=1, help="of every service")
    parser.add_argument("--partitions", type=count, default=12)
    parser.add_argument("--shards", type=count, default=1, help="of MongoDB")
    parser.add_argument("--brokers", type=count, default=3, help="of Kafka")
    parser.add_argument("--pages", type=count, default=1)
    parser.add_argument("--largest-page", type=share, help="its share, 0 to 1; else all alike")
    parser.add_argument(
        "--peak", type=positive, default=Assumed.peak, help="against the day's mean"
    )
    parser.add_argument("--model-s", type=positive, default=Assumed.model_s, help="an answer takes")
    parser.add_argument("--docs", type=Path, help="write its tables anew")
    parser.add_argument("--measure", action="store_true")
    return parser.parse_args()


def count(text: str) -> int:
    """For argparse, which names the option and shows these words."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def positive(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def share(text: str) -> float:
    number = _number(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError("must be above 0, and 1 at most")
    return number


def _number(text: str) -> float:
    """What is no number is not above 0 either."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _print(given: argparse.Namespace) -> None:
    one = Installation(
        partitions=given.partitions,
        shards=given.shards,
        kafka_brokers=given.brokers,
        pages=given.pages,
        largest_page=given.largest_page or 1 / given.pages,
    )
    what, costs = one.scaled(given.replicas), measured()
    assumed = replace(Assumed(), peak=given.peak, model_s=given.model_s)
    rate, busiest, webhook, reply, verdict = judged(given.conversations, what, costs, assumed)
    print(f"exchanges a second at the peak: {rate}\nbusiest: {busiest}")
    print(f"webhook p99: {webhook}\nreply p50, p99, without model and quiet window: {reply}")
    print(f"verdict: {verdict}\n\nconversations a day at 100 %:")
    for part, number in sorted(bears(what, costs, assumed).items(), key=lambda each: each[1]):
        print(f"{number:>16,.0f}  {part}")


if __name__ == "__main__":
    main()
