"""A small discrete-event simulation: jobs that go from queue to queue, first come first served.

Deterministic: the same jobs give the same result. Times are seconds.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ANYBODY = None


@dataclass(frozen=True, slots=True)
class Step:
    """One visit: wait for a server, be served, and travel on.

    Args:
        station: where; "" for a delay that nobody else feels.
        server: which of the station's servers, for work that belongs to one; ANYBODY: who is free.
        service_s: how long a server is busy with it.
        delay_s: how long it takes afterwards to get to the next step, which occupies nobody.
    """

    station: str
    service_s: float = 0.0
    server: int | None = ANYBODY
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """Steps, and the jobs that begin when they are over, each so many seconds later.

    Args:
        began_at: where its latency is counted from; a job that follows keeps that of the first.
        not_ours_s: what its latency leaves out, such as the model's time.
    """

    kind: str
    steps: tuple[Step, ...]
    then: tuple[tuple[float, "Job"], ...] = ()
    not_ours_s: float = 0.0


@dataclass
class Outcome:
    """What became of all jobs.

    Args:
        latencies: by kind, in the order of finishing: seconds from the first job's arrival.
        busy_s: by station, over all its servers.
        begun, finished: how many jobs, those that followed others included.
        ended_at: when the last one was over.
    """

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    begun: int = 0
    finished: int = 0
    ended_at: float = 0.0


def simulate(
    servers: Mapping[str, int], arrivals: Iterable[tuple[float, Job]], *, warm_up_s: float = 0.0
) -> Outcome:
    """Let every job go its way.

    Args:
        servers: how many each station has.
        arrivals: moment and job.
        warm_up_s: latencies of who came before are not kept: queues were empty then.

    Raises:
        KeyError: a step names a station that there is not.
    """
    free_at = {name: [0.0] * count for name, count in servers.items()}
    outcome = Outcome()
    agenda: list[tuple[float, int, float, Job, int]] = []  # when, tie, began, job, which step
    tie = 0
    for at, job in arrivals:
        agenda.append((at, tie, at, job, 0))
        tie += 1
    outcome.begun = len(agenda)
    heapq.heapify(agenda)
    while agenda:
        now, _, began, job, index = heapq.heappop(agenda)
        if index == len(job.steps):
            outcome.finished += 1
            outcome.ended_at = max(outcome.ended_at, now)
            if began >= warm_up_s:
                outcome.latencies[job.kind].append(now - began - job.not_ours_s)
            for later_s, follower in job.then:
                heapq.heappush(agenda, (now + later_s, tie, began, follower, 0))
                outcome.begun += 1
                tie += 1
            continue
        step = job.steps[index]
        done = now
        if step.station:
            done = _served(free_at[step.station], step, now)
            outcome.busy_s[step.station] += step.service_s
        heapq.heappush(agenda, (done + step.delay_s, tie, began, job, index + 1))
        tie += 1
    return outcome


def _served(free_at: list[float], step: Step, now: float) -> float:
    """When a server is done with it. Jobs come here in the order of time."""
    server = step.server if step.server is not None else free_at.index(min(free_at))
    done = max(now, free_at[server]) + step.service_s
    free_at[server] = done
    return done


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
