"""`python -m services.console.api docs/openapi-console.json`: write the document anew."""

import sys
from pathlib import Path

from libs.common.openapi import text
from services.console.api.openapi import document
from services.console.api.routes import OPERATIONS

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(document(OPERATIONS)), encoding="utf-8")
