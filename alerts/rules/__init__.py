"""The rules, in the order in which people see them. A new one is one file and one name here."""

from alerts.rules.amount_empty import AmountEmpty
from alerts.rules.base import Family, Rule
from alerts.rules.close_date_passed import CloseDatePassed
from alerts.rules.deal_too_old import DealTooOld
from alerts.rules.key_role import KeyRole
from alerts.rules.no_activity import NoActivity
from alerts.rules.no_meeting import NoMeeting
from alerts.rules.power_map import PowerMap
from alerts.rules.single_contact import SingleContact
from alerts.rules.stuck_in_stage import StuckInStage

RULES: tuple[Rule, ...] = (
    NoActivity(),
    NoMeeting(),
    SingleContact(),
    KeyRole(),
    PowerMap(),
    StuckInStage(),
    CloseDatePassed(),
    AmountEmpty(),
    DealTooOld(),
)
BY_KIND: dict[str, Rule] = {rule.kind: rule for rule in RULES}

# deals.Deal.alert_mask: bits 0 to 15 say which kinds are open, bits 16 to 23 how many alerts, bits 24 to 30 how many of
# them are critical. So `alert_mask >> 16` orders by risk, and `alert_mask <> 0` is "at risk".
COUNT_SHIFT, CRITICAL_SHIFT = 16, 24

__all__ = ["BY_KIND", "COUNT_SHIFT", "CRITICAL_SHIFT", "RULES", "Family", "Rule"]
