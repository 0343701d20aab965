"""What the connection doctor finds, for programs."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.console.api.operations import NOT_FOUND, Call, Operation, Shown
from services.console.doctor.domain.findings import Finding, Report, State
from services.console.doctor.reports import of_page
from services.console.domain.tokens import Scope
from services.console.web.pages import REPORTS


class DoctorWanted(BaseModel):
    """Which lines are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: str | None = Field(
        None, pattern=r"^\d{1,32}$", description="of the Pages this one only, by its id"
    )


class FindingShown(Shown):
    """One line. `because`: the line that has to be mended before this one can be judged."""

    id: str
    section: str
    title: str
    page_id: str | None
    state: State
    words: str
    cure: str
    because: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, finding: Finding) -> "FindingShown":
        line, verdict = finding.line, finding.verdict
        return cls(
            id=line.id,
            section=line.section,
            title=line.title,
            page_id=line.page_id,
            state=verdict.state,
            words=verdict.words,
            cure=verdict.cure,
            because=verdict.because,
            details=dict(verdict.details),
        )


class DoctorReport(Shown):
    """Everything that was looked at, and the worst of it in words."""

    state: State
    headline: str
    at: datetime
    took_s: float
    findings: list[FindingShown]

    @classmethod
    def of(cls, report: Report) -> "DoctorReport":
        return cls(
            state=report.state,
            headline=report.headline,
            at=report.at,
            took_s=report.took_s,
            findings=[FindingShown.of(each) for each in report.findings],
        )


async def show_report(call: Call) -> DoctorReport:
    """At most 15 seconds old."""
    wanted: DoctorWanted = call.query
    reports = call.request.app[REPORTS].get()
    report = await reports.recent(call.workspace_id)
    if wanted.page is None:
        return DoctorReport.of(report)
    if all(each.line.page_id != wanted.page for each in report.findings):
        await call.connecting.channel(
            call.workspace_id, wanted.page
        )  # not there, or just connected
        report = await reports.anew(call.workspace_id)
    return DoctorReport.of(of_page(report, wanted.page))


DOCTOR_OPERATIONS = (
    Operation(
        "GET",
        "/doctor",
        "getDoctor",
        "Look at every link from Meta to the reply",
        "Health",
        Scope.HEALTH_READ,
        show_report,
        DoctorReport,
        query=DoctorWanted,
        refusals=(NOT_FOUND,),
    ),
)
