"""`python -m deploy.observability FOLDER`: writes every dashboard as JSON.

`DOCS_URL` names where docs/ of this project can be read in a browser: links to the run-book lead
there. It can also be set on the dashboard itself.
"""

import os
import sys
from pathlib import Path

from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.kit import DOCS_URL, as_json


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m deploy.observability FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    docs_url = os.environ.get("DOCS_URL") or DOCS_URL
    for each in DASHBOARDS:
        (folder / f"{each.name}.json").write_text(as_json(each, docs_url), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
