"""Every reason that the sender can give has its cause and advice here."""

from typing import get_args

from libs.common.window import RefusalCode
from services.analytics.domain.causes import CAUSES, cause_of
from services.sender.domain import refusals
from services.sender.domain.refusals import Refusal
from services.sender.review_store import DISCARDED


def test_every_reason_of_the_sender_is_known() -> None:
    tables = [vars(refusals).values(), refusals._BY_CODE.values(), refusals._BY_SUBCODE.values()]
    reasons = {each.reason for table in tables for each in table if isinstance(each, Refusal)}
    assert len(reasons) > 15
    known = reasons | set(get_args(RefusalCode)) | {DISCARDED, "earlier_part_failed", "empty"}
    assert known <= set(CAUSES)


def test_a_reason_of_a_newer_sender_is_explained_as_well_as_can_be() -> None:
    assert cause_of("made_tomorrow").cause == "other"
    assert cause_of("made_tomorrow").advice
