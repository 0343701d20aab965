"""`python -m tests.faults.supervisor run`: the local stack, whose dead come back at once.

A growing pause is right for a service that can't start. Here they are killed again and again, and
what is measured is how they recover.
"""

from deploy.local import backoff
from deploy.local.cli import app

if __name__ == "__main__":
    backoff.FIRST_S, backoff.LONGEST_S = 0.1, 0.4
    app(prog_name="python -m tests.faults.supervisor")
