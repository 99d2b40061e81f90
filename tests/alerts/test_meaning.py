"""The meaning of the words and of the nine alerts, sentence by sentence.

SHOWN says which tests show each sentence. Those of this module are the ones that no other table had.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest

from alerts.rules import BY_KIND
from crm_sync.providers.hubspot import mapping
from deals.models import DealPerson
from deals.records import DealContactRecord, ParticipantRecord
from tests.world import World

INTERACTIONS, MIDNIGHT, ARRIVAL = "alerts.test_interactions", "alerts.test_midnight", "alerts.test_arrival"
HUBSPOT, PIPEDRIVE = "crm_sync.test_hubspot_mapping", "crm_sync.test_pipedrive_mapping"
NO_ACTIVITY, NO_MEETING = "alerts.test_rule_no_activity", "alerts.test_rule_no_meeting"
SINGLE, ROLE = "alerts.test_rule_single_contact", "alerts.test_rule_key_role"
POWER, STUCK, HYGIENE = "alerts.test_rule_power_map", "alerts.test_rule_stuck_in_stage", "alerts.test_rule_hygiene"
HISTORY, SCOPE, LIST, HERE = "alerts.test_history", "alerts.test_scope", "alerts.test_deal_list", "alerts.test_meaning"
CALENDAR = "deals.test_calendar"

SHOWN = {
    # Who
    "a colleague is a CRM user or owner, archived ones too": [
        f"{INTERACTIONS}:test_an_archived_user_of_the_crm_is_a_colleague",
        f"{HUBSPOT}:test_the_published_owners_are_read_archived_ones_too",
    ],
    "a colleague is a member of the organisation": [f"{INTERACTIONS}:test_a_member_of_the_organisation_is_a_colleague"],
    "a colleague is an address in a domain that the admin lists as own": [
        f"{HERE}:test_a_domain_that_the_admin_lists_is_our_own",
        f"{INTERACTIONS}:test_a_contact_with_any_address_of_the_own_domain_is_a_colleague",
    ],
    "own domains are prefilled from the users' domains, never a free-mail domain": [
        f"{INTERACTIONS}:test_a_free_mail_domain_is_never_our_own",
        f"{INTERACTIONS}:test_a_colleague_who_arrives_late_makes_past_talks_internal",
    ],
    "same person: one contact after merges, with all its addresses": [
        f"{ARRIVAL}:test_a_merge_at_the_crm_joins_the_histories_of_both_contacts"
    ],
    "contacts that share an address are one person": [
        f"{SINGLE}:test_contacts_that_come_to_share_an_address_become_one_person_and_part_again",
        f"{ARRIVAL}:test_a_bridge_between_two_contacts_makes_all_three_one_person_and_its_loss_parts_them",
    ],
    "with the union of roles": [
        f"{ROLE}:test_a_person_has_the_roles_of_all_its_contacts_when_one_of_them_is_on_the_deal"
    ],
    "and the highest level": [f"{POWER}:test_the_highest_title_of_contacts_that_share_an_address_counts"],
    "an address unknown to the CRM is a person too, shown as unknown contact": [
        f"{SINGLE}:test_an_unknown_contact_who_is_entered_later_stays_the_same_person"
    ],
    "trimmed, lower-cased, plus-tags kept": [
        f"{INTERACTIONS}:test_an_interaction_engages",
        f"{ARRIVAL}:test_addresses_differ_neither_by_case_nor_by_spaces",
    ],
    # Interaction
    "an interaction is a call, e-mail, message or meeting that took place": [
        f"{INTERACTIONS}:test_what_took_place_is_an_interaction",
        f"{NO_ACTIVITY}:test_no_activity_is_cleared_by_every_kind_of_interaction",
    ],
    "dated at or before now": [f"{INTERACTIONS}:test_an_interaction_is_dated_at_or_before_now"],
    "not cancelled, no-show, draft, bounced, deleted or internal": [
        f"{INTERACTIONS}:test_what_did_not_take_place_between_us_and_them_is_no_interaction"
    ],
    "nothing is guessed from subjects": [f"{HERE}:test_nothing_is_guessed_from_subjects"],
    "owner and logger are no participants": [
        f"{HUBSPOT}:test_the_owner_of_a_meeting_is_no_participant_unless_listed",
        f"{HERE}:test_the_owner_of_an_activity_is_no_participant",
    ],
    "only its organiser, or only its sender who is a colleague: no recorded participant, counts, engages nobody": [
        f"{INTERACTIONS}:test_what_took_place_is_an_interaction",
        f"{HERE}:test_what_records_only_its_organiser_or_our_sender_counts_and_engages_nobody",
    ],
    "an unanswered, missed, busy, failed, wrong-number or voicemail call is an attempt": [
        f"{HUBSPOT}:test_the_disposition_of_a_call_wins_over_its_status"
    ],
    "HubSpot's disposition wins over its status; a live message left, or no recorded result, counts": [
        f"{HUBSPOT}:test_the_disposition_of_a_call_wins_over_its_status"
    ],
    "notes and tasks are none": [f"{PIPEDRIVE}:test_every_other_type_is_dropped"],
    "field edits are none": [f"{HERE}:test_a_field_edit_is_no_interaction"],
    "Pipedrive: an activity took place when it is marked done": [
        f"{PIPEDRIVE}:test_an_undone_meeting_is_planned_until_its_end_and_an_undone_call_from_its_start"
    ],
    "Pipedrive: call, meeting and lunch": [f"{PIPEDRIVE}:test_calls_meetings_and_lunches_are_interactions"],
    "HubSpot: a past meeting took place unless its outcome says otherwise": [f"{HUBSPOT}:test_outcomes_of_a_meeting"],
    # When
    "when it happened, never when it was logged": [f"{HERE}:test_an_interaction_counts_when_it_happened"],
    "call start": [f"{HUBSPOT}:test_the_published_call_is_read_whole"],
    "meeting end, its start if none is recorded": [
        f"{HUBSPOT}:test_a_meeting_happens_at_its_end_or_its_start_if_none_is_recorded"
    ],
    "e-mail sent": [f"{HERE}:test_an_email_happened_when_it_was_sent"],
    "a done Pipedrive activity: the earlier of its due end and the time it was marked done": [
        f"{PIPEDRIVE}:test_a_done_activity_happened_at_its_due_end_or_when_it_was_marked_if_earlier"
    ],
    "all-day: local midnight of its date, or of the day it was marked done if earlier": [
        f"{INTERACTIONS}:test_an_all_day_activity_stands_at_midnight_of_its_day_or_of_the_earlier_day_it_was_done"
    ],
    "unreadable mail is one e-mail that engages nobody": [
        f"{INTERACTIONS}:test_mail_whose_time_alone_is_told_is_one_email_that_engages_nobody",
        f"{PIPEDRIVE}:test_unreadable_mail_is_the_later_of_incoming_and_outgoing",
    ],
    # Linked, engaged
    "linked to each deal with which the CRM itself associates it, never inferred": [
        f"{INTERACTIONS}:test_an_activity_counts_for_each_deal_with_which_the_crm_associates_it",
        f"{INTERACTIONS}:test_what_did_not_take_place_between_us_and_them_is_no_interaction",
    ],
    "it counts even if older than the deal": [
        f"{INTERACTIONS}:test_an_interaction_counts_even_if_it_is_older_than_the_deal"
    ],
    "day counts never start before the deal's creation": [f"{HERE}:test_day_counts_never_start_before_creation"],
    "engaged: recipients, attendees, the other side of a call, an external sender; not in copy, not declined": [
        f"{INTERACTIONS}:test_an_interaction_engages"
    ],
    "a logged e-mail without any address engages its associated contacts": [
        f"{HUBSPOT}:test_an_email_without_any_address_was_exchanged_with_the_associated_contacts"
    ],
    "with addresses, only those in to and from": [
        f"{HUBSPOT}:test_an_email_with_an_address_says_nothing_of_its_associated_contacts"
    ],
    # Contact and role
    "a contact of the deal is associated with it in the CRM": [
        f"{ROLE}:test_a_holder_who_is_not_on_the_deal_is_no_holder",
        f"{PIPEDRIVE}:test_the_published_deal_is_read_whole",
    ],
    "HubSpot's labels on the deal together with the contact's buying role": [
        f"{HERE}:test_roles_on_the_deal_and_of_the_contact_add_up",
        f"{ROLE}:test_a_role_given_on_one_deal_holds_there_only",
        f"{HUBSPOT}:test_buying_roles_are_told_by_their_labels",
    ],
    "names that differ only in case, accents or punctuation are one": [
        f"{ROLE}:test_names_that_differ_only_in_case_accents_or_punctuation_are_one_role"
    ],
    # Open deal
    "only open deals have alerts: not deleted, not archived": [f"{HERE}:test_only_open_deals_have_alerts"],
    "in a watched pipeline": [f"{SCOPE}:test_only_deals_of_watched_pipelines_have_alerts"],
    "an alert is resolved with the reason that made its hit go": [
        f"{HISTORY}:test_an_alert_is_resolved_with_the_reason_that_made_its_hit_go"
    ],
    "reopened: last passage from won or lost to open": [
        f"{HERE}:test_a_passage_from_closed_to_open_is_a_reopening",
        f"{NO_ACTIVITY}:test_only_the_last_reopening_counts",
    ],
    "reopening is an entry into the stage too": [f"{STUCK}:test_reopening_is_an_entry_into_the_stage"],
    "HubSpot: from a closed to an open stage": [
        f"{HUBSPOT}:test_the_deal_says_whether_it_is_closed_else_its_stage",
        f"{HUBSPOT}:test_a_stage_says_how_deals_end_in_it",
    ],
    "unarchiving and restoring are not": [f"{NO_ACTIVITY}:test_unarchiving_and_restoring_are_no_reopening"],
    "stage entry: HubSpot's own field": [f"{HUBSPOT}:test_stage_entry_is_what_hubspot_computed"],
    "stage entry: Pipedrive's stage_change_time": [
        f"{PIPEDRIVE}:test_a_deal_that_never_changed_stage_entered_it_at_its_creation"
    ],
    # Days
    "difference of local dates in the organisation's time zone": [
        f"{MIDNIGHT}:test_alerts_fire_at_the_organisations_midnight",
        f"{MIDNIGHT}:test_every_fact_belongs_to_its_local_day",
    ],
    "“N days or more” includes N": [
        f"{NO_ACTIVITY}:test_no_activity",
        f"{SINGLE}:test_single_contact",
        f"{ROLE}:test_key_role",
        f"{POWER}:test_power_map",
        f"{STUCK}:test_stuck_in_stage",
        f"{HYGIENE}:test_deal_too_old",
    ],
    "today is always the organisation's": [f"{MIDNIGHT}:test_the_same_moment_is_another_day_elsewhere"],
    "HubSpot's close date becomes a date in the portal's zone": [
        f"{HUBSPOT}:test_the_close_date_is_a_day_of_the_account"
    ],
    "business days: weekends and the country's public holidays left out": [
        f"{CALENDAR}:test_a_countrys_working_days_leave_out_its_weekend_and_public_holidays",
        f"{HERE}:test_the_country_of_the_organisation_says_which_days_are_worked",
    ],
    "counted as working days in (start, today], for every threshold in days": [
        f"{HERE}:test_every_threshold_is_counted_in_business_days",
        f"{HERE}:test_limits_of_stages_and_roles_are_counted_in_business_days",
        f"{CALENDAR}:test_days_are_counted",
    ],
    "before a close date too; an overdue date is 0 days away": [
        f"{HERE}:test_days_before_the_close_date_are_business_days"
    ],
    "what has no threshold in days knows no business days": [
        f"{HERE}:test_rules_without_a_threshold_know_calendar_days_alone"
    ],
    # Outcomes and dates
    "not evaluable, with the reason": [
        f"{HYGIENE}:test_close_date_passed_cannot_be_judged_without_a_date",
        f"{ROLE}:test_nobody_holds_the_role_is_not_evaluable_and_silent",
        f"{POWER}:test_power_map",
    ],
    "holds since is never before the last reopening, deal_too_old apart": [
        f"{HERE}:test_nothing_holds_since_before_the_last_reopening_but_deal_too_old"
    ],
    "holds since is never before creation": [f"{HERE}:test_day_counts_never_start_before_creation"],
    "opened at is when Vigie first saw it": [f"{HISTORY}:test_opened_at_is_when_it_was_first_seen_and_stays"],
    "critical: no_activity, close_date_passed, power_map": [
        "alerts.test_engine:test_the_mask_says_which_kinds_are_open_how_many_and_how_many_critical"
    ],
    "rules that overlap all stay": [f"{HERE}:test_all_nine_rules_may_fire_at_once"],
    # no_activity, no_meeting
    "no_activity: days since the latest of last interaction, creation, reopening": [f"{NO_ACTIVITY}:test_no_activity"],
    "no_meeting: from the local day after the day on which the last planned one ends": [
        f"{NO_MEETING}:test_a_meeting_planned_over_midnight_counts_on_the_day_on_which_it_ends",
        f"{HERE}:test_the_meeting_that_ends_last_decides",
    ],
    "never planned: from creation or reopening": [
        f"{NO_MEETING}:test_no_meeting_ever_planned_holds_since_creation_or_reopening"
    ],
    "planned: linked, neither cancelled nor rescheduled, and somebody from outside may come": [
        f"{NO_MEETING}:test_no_meeting",
        f"{HERE}:test_what_counts_as_planned",
    ],
    "a meeting marked done early no longer lies ahead": [
        f"{NO_MEETING}:test_a_meeting_marked_done_early_no_longer_lies_ahead"
    ],
    # single_contact
    "single_contact: the streak": [f"{SINGLE}:test_single_contact"],
    "the later of the oldest interaction + days and the date on which the minimum was reached": [
        f"{HERE}:test_a_streak_fires_on_the_later_of_its_limit_and_its_minimum"
    ],
    "creation and reopening do not cut it": [
        f"{SINGLE}:test_reopening_does_not_cut_the_streak_but_nothing_holds_since_before_it",
        f"{SINGLE}:test_days_are_never_counted_from_before_creation",
    ],
    # key_role
    "key_role: days since the last interaction that engages any holder": [
        f"{ROLE}:test_key_role",
        f"{ROLE}:test_any_of_several_holders_keeps_the_role_alive",
    ],
    "if none ever, also the day since when the role is known": [
        f"{HERE}:test_a_role_that_never_spoke_counts_since_it_is_known"
    ],
    "creation if present at the first sync": [f"{ROLE}:test_a_role_present_at_the_first_sync_is_known_since_creation"],
    "several holders: the earliest": [f"{ROLE}:test_of_several_holders_the_earliest_says_since_when_the_role_is_known"],
    "no role chosen: no verdict": [f"{ROLE}:test_no_role_chosen_is_no_verdict"],
    "one alert per role": [f"{ROLE}:test_each_role_has_its_own_limit_and_its_own_alert"],
    "a role deleted in the CRM is stale: silent": [
        f"{ROLE}:test_a_role_deleted_in_the_crm_is_stale_and_silent_until_it_comes_back"
    ],
    # power_map
    "power_map: close date at most N days away, nobody of the level engaged; in this order": [
        f"{POWER}:test_power_map"
    ],
    # hygiene
    "stuck_in_stage: days since the last entry; re-entry restarts; a change of pipeline is an entry": [
        f"{STUCK}:test_the_last_entry_into_the_stage"
    ],
    "a renamed stage is no entry": [f"{STUCK}:test_a_renamed_stage_is_no_entry"],
    "close_date_passed: today is not passed": [f"{HYGIENE}:test_close_date_passed"],
    "amount_empty: missing, or zero while the option is on": [f"{HYGIENE}:test_amount_empty"],
    "since it became empty if known, else creation": [f"{HYGIENE}:test_amount_empty_holds_since_it_became_empty"],
    "deal_too_old: days since creation": [f"{HYGIENE}:test_deal_too_old"],
    "reopening does not reset it": [f"{HYGIENE}:test_reopening_does_not_make_a_deal_younger"],
}


@pytest.mark.parametrize("sentence", SHOWN)
def test_every_sentence_is_shown(sentence):
    for test in SHOWN[sentence]:
        module, _, name = test.partition(":")
        assert callable(getattr(import_module(f"tests.{module}"), name))


# ---- Who


@pytest.mark.django_db
@pytest.mark.parametrize(("domain", "internal"), [("partner.example", True), ("other.example", False)])
def test_a_domain_that_the_admin_lists_is_our_own(domain, internal):
    w = World()
    w.organisation.own_domains = ["vigie.example", "partner.example"]
    w.organisation.save(update_fields=["own_domains"])
    w.deal()
    w.activity("email", 3, ParticipantRecord("to", address=f"bo@{domain}"))
    assert w.stored().last_interaction_on == (None if internal else w.day(3))


# ---- Interaction and its time


@pytest.mark.django_db
@pytest.mark.parametrize("subject", ["Annulé", "CANCELED: demo", "No-show", "Absence du bureau", "Brouillon", ""])
def test_nothing_is_guessed_from_subjects(subject):
    w = World()
    w.contact("ana")
    w.deal()
    w.activity("meeting", 3, "ana", subject=subject)
    assert w.stored().last_interaction_on == w.day(3)


@pytest.mark.django_db
def test_the_owner_of_an_activity_is_no_participant():
    w = World()
    w.deal()
    w.activity("meeting", 3, owner="me")  # were it one, the meeting would be internal
    assert w.stored().last_interaction_on == w.day(3)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "party"),
    [
        ("meeting", ParticipantRecord("organiser", colleague="me")),
        ("meeting", ParticipantRecord("organiser", address="ana@customer.example")),
        ("email", ParticipantRecord("from", address="me@vigie.example")),
    ],
    ids=["our organiser", "their organiser", "our sender"],
)
def test_what_records_only_its_organiser_or_our_sender_counts_and_engages_nobody(kind, party):
    w = World()
    w.deal()
    w.activity(kind, 3, party)
    assert w.stored().last_interaction_on == w.day(3)
    with w.inside():
        assert not DealPerson.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "edit",
    [
        {"title": "Another"},
        {"amount": Decimal(7)},
        {"close_on": date(2027, 3, 1)},
        {"owner": "you"},
        {"stage": "s2"},
        {"contacts": (DealContactRecord("ana"),)},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_a_field_edit_is_no_interaction(edit):
    w = World()
    w.contact("ana")
    w.deal(created_at=w.at(60))
    w.deal(created_at=w.at(60), updated_at=w.at(1), **edit)
    assert w.stored().last_interaction_on is None
    assert w.alerts()["no_activity"] == w.day(50)


@pytest.mark.django_db
@pytest.mark.parametrize(("happened", "since"), [(9, None), (10, 0), (11, 1)])
def test_an_interaction_counts_when_it_happened(happened, since):
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("call", happened, updated_at=w.at(0))  # logged today
    assert w.alerts().get("no_activity") == (None if since is None else w.day(since))


def test_an_email_happened_when_it_was_sent():
    sent = datetime(2026, 11, 14, 15, tzinfo=UTC)
    logged = {"createdAt": "2026-11-20T08:00:00Z", "updatedAt": "2026-11-21T08:00:00Z", "archived": False}
    data = {"id": "7", "properties": {"hs_timestamp": "2026-11-14T15:00:00Z"}, **logged}
    assert mapping.activity("emails", data).at == sent


# ---- Day counts

COUNTED = ["no_activity", "single_contact", "key_role:champion", "stuck_in_stage", "deal_too_old"]


def world_of_five_days(**now):
    """Every rule that counts days has the limit 5; Ana is a buyer and the champion."""
    w = World(**now)
    five = {"days": 5}
    rules = dict.fromkeys(["no_activity", "single_contact", "power_map", "stuck_in_stage", "deal_too_old"], five)
    w.configure(**rules, key_role={"roles": {"champion": 5}})
    w.contact("ana", "Buyer", ("Champion",))
    return w


@pytest.mark.django_db
@pytest.mark.parametrize(("created", "since"), [(4, None), (5, 0), (6, 1)])
@pytest.mark.parametrize("kind", COUNTED)
def test_day_counts_never_start_before_creation(kind, created, since):
    w = world_of_five_days()
    w.on_deal("ana", created_at=w.at(created), stage_entered_at=w.at(50))
    for days_ago in (60, 40):
        w.activity("call", days_ago, "ana")
    assert w.alerts().get(kind) == (None if since is None else w.day(since))


# Business days up to Monday 18 May 2026 in France: 1 and 8 May are Fridays, 14 May a Thursday, 25 May a Monday.
MAY = datetime(2026, 5, 18, 10, tzinfo=UTC)
# day from which 5 business days are counted · the day on which they have passed
FIVE_DAYS = {
    "a day too few": ("2026-05-11", "2026-05-19"),
    "from a Sunday": ("2026-05-10", "2026-05-18"),
    "from a Saturday": ("2026-05-09", "2026-05-18"),
    "from a holiday": ("2026-05-08", "2026-05-18"),
    "exactly": ("2026-05-07", "2026-05-18"),
    "a day more": ("2026-05-06", "2026-05-15"),
    "over two holidays": ("2026-05-05", "2026-05-13"),
    "over 1 May": ("2026-04-30", "2026-05-11"),
    "today": ("2026-05-18", "2026-05-26"),
}


def noon(w, day):
    return w.at((w.clock.today - date.fromisoformat(day)).days)


@pytest.mark.django_db
@pytest.mark.parametrize(("start", "fires"), FIVE_DAYS.values(), ids=FIVE_DAYS)
def test_every_threshold_is_counted_in_business_days(start, fires):
    w = world_of_five_days(now=MAY)
    w.configure(business_days=True, single_contact={"minimum": 1})
    w.on_deal("ana", created_at=noon(w, start), stage_entered_at=noon(w, start))
    w.activity("call", None, "ana", at=noon(w, start) - timedelta(minutes=1))
    day = date.fromisoformat(fires)
    found = w.alerts()
    for kind in COUNTED:
        name, _, role = kind.partition(":")
        assert (kind, w.verdict(name, subject=role).on) == (kind, day)
        assert found.get(kind) == (day if day <= w.clock.today else None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("country", "fires"), [("FR", "2026-05-18"), ("US", "2026-05-14"), ("AE", "2026-05-14"), ("ZZ", "2026-05-14")]
)
def test_the_country_of_the_organisation_says_which_days_are_worked(country, fires):
    w = world_of_five_days(now=MAY)
    w.organisation.country = country
    w.organisation.save(update_fields=["country"])
    w.configure(business_days=True)
    w.deal(created_at=noon(w, "2026-05-07"))
    assert w.alerts()["no_activity"] == date.fromisoformat(fires)


@pytest.mark.django_db
@pytest.mark.parametrize(("start", "since"), [("2026-05-11", None), ("2026-05-07", "2026-05-18")])
def test_limits_of_stages_and_roles_are_counted_in_business_days(start, since):
    w = World(MAY)
    w.contact("ana", "", ("Champion",))
    w.on_deal("ana", created_at=noon(w, start))
    w.configure(
        business_days=True,
        stuck_in_stage={"days": 50, "stages": {str(w.stored().stage_id): 5}},
        key_role={"roles": {"champion": 5}},
    )
    expected = None if since is None else date.fromisoformat(since)
    assert (w.alerts().get("stuck_in_stage"), w.alerts().get("key_role:champion")) == (expected, expected)


CLOSE = {
    "a day too far": ("2026-05-27", "2026-05-19"),
    "at the limit": ("2026-05-26", "2026-05-18"),
    "on a holiday": ("2026-05-25", "2026-05-15"),
    "on the Sunday before it": ("2026-05-24", "2026-05-15"),
    "a day nearer": ("2026-05-22", "2026-05-15"),
    "today": ("2026-05-18", "2026-05-07"),
    "overdue": ("2026-05-10", "2026-04-29"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("close", "fires"), CLOSE.values(), ids=CLOSE)
def test_days_before_the_close_date_are_business_days(close, fires):
    w = world_of_five_days(now=MAY)
    w.configure(business_days=True)
    w.deal(created_at=w.at(90), close_on=date.fromisoformat(close))
    day = date.fromisoformat(fires)
    assert w.verdict("power_map").on == day
    assert w.alerts().get("power_map") == (day if day <= w.clock.today else None)


@pytest.mark.django_db
@pytest.mark.parametrize(("close", "fires"), [("2026-05-26", True), ("2026-05-27", False)])
def test_whether_titles_are_missing_matters_from_the_same_business_day_on(close, fires):
    w = world_of_five_days(now=MAY)
    w.configure(business_days=True)
    w.contact("nameless")
    w.deal(created_at=w.at(90), close_on=date.fromisoformat(close))
    w.activity("call", 3, "nameless")
    verdict = w.verdict("power_map")
    assert (verdict.outcome, verdict.reason) == (("unknown", "no_titles") if fires else ("clear", ""))


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "close", "fires"), [(0, "2026-05-10", True), (0, "2026-05-19", False)])
def test_an_overdue_date_is_no_day_away(days, close, fires):
    w = World(MAY)
    w.configure(business_days=True, power_map={"days": days})
    w.deal(created_at=w.at(90), close_on=date.fromisoformat(close))
    assert ("power_map" in w.alerts()) is fires


@pytest.mark.django_db
def test_rules_without_a_threshold_know_calendar_days_alone():
    w = World(datetime(2026, 5, 17, 10, tzinfo=UTC))  # a Sunday
    w.configure(business_days=True)
    w.deal(created_at=w.at(90), close_on=date(2026, 5, 15), amount=None)
    w.activity("meeting", None, state="planned", at=noon(w, "2026-05-15"))
    found = w.alerts()
    assert (found["close_date_passed"], found["no_meeting"]) == (date(2026, 5, 16), date(2026, 5, 16))
    assert found["amount_empty"] == w.day(90)


# ---- Open deals, reopening, the dates of alerts


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "has_alerts"),
    [
        ({}, True),
        ({"status": "won"}, False),
        ({"status": "lost"}, False),
        ({"archived": True}, False),
        ({"deleted": True}, False),
    ],
)
def test_only_open_deals_have_alerts(fields, has_alerts):
    w = World()
    w.deal(created_at=w.at(60), **fields)
    assert bool(w.alerts()) is has_alerts
    assert bool(w.stored().alert_mask) is has_alerts


PASSAGES = {
    "never closed": ([(20, {})], None),
    "won": ([(20, {"status": "won"})], None),
    "won, then open": ([(20, {"status": "won"}), (9, {})], 9),
    "lost, then open": ([(20, {"status": "lost"}), (9, {})], 9),
    "won, then lost": ([(20, {"status": "won"}), (9, {"status": "lost"})], None),
    "won, then lost, then open": ([(20, {"status": "won"}), (15, {"status": "lost"}), (9, {})], 9),
    "reopened, then edited": ([(20, {"status": "won"}), (9, {}), (3, {"title": "Another"})], 9),
    "lost and archived, then open": ([(20, {"status": "lost", "archived": True}), (9, {})], 9),
    "reopened while archived": (
        [(20, {"status": "lost", "archived": True}), (9, {"archived": True}), (3, {})],
        9,
    ),
    "deleted, then restored": ([(20, {"deleted": True}), (9, {})], None),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("passages", "reopened"), PASSAGES.values(), ids=PASSAGES)
def test_a_passage_from_closed_to_open_is_a_reopening(passages, reopened):
    w = World()
    w.deal(created_at=w.at(60), updated_at=w.at(60))
    for days_ago, fields in passages:
        w.deal(created_at=w.at(60), updated_at=w.at(days_ago), **fields)
    assert w.stored().reopened_on == (None if reopened is None else w.day(reopened))


@pytest.fixture
def neglected(db):
    """A deal on which all nine rules fire since long ago: {"created_at", … } to write it again."""
    w = world_of_five_days()
    old = {"created_at": w.at(60), "close_on": w.day(30), "amount": None, "stage_entered_at": w.at(60)}
    w.on_deal("ana", **old, updated_at=w.at(60))
    for days_ago in (40, 30):
        w.activity("call", days_ago, "ana")
    return w, old


def test_all_nine_rules_may_fire_at_once(neglected):
    w, _ = neglected
    assert {kind.partition(":")[0] for kind in w.alerts()} == set(BY_KIND)


# rule · days since when it holds, the deal having been reopened 6 days ago
REOPENED = {
    "no_activity": 1,
    "no_meeting": 6,
    "single_contact": 6,
    "key_role:champion": 1,
    "power_map": 6,
    "stuck_in_stage": 1,
    "close_date_passed": 6,
    "amount_empty": 6,
    "deal_too_old": 55,
}


def test_nothing_holds_since_before_the_last_reopening_but_deal_too_old(neglected):
    w, old = neglected
    w.on_deal("ana", **old, status="lost", updated_at=w.at(7))
    w.on_deal("ana", **old, updated_at=w.at(6))
    assert w.alerts() == {kind: w.day(since) for kind, since in REOPENED.items()}


# ---- no_meeting

COMES = ParticipantRecord("attendee", contact="ana")
DECLINED = ParticipantRecord("attendee", contact="ana", declined=True)
ME = ParticipantRecord("attendee", colleague="me")
STRANGER = ParticipantRecord("attendee", address="who@else.example")
STRANGER_DECLINED = ParticipantRecord("attendee", address="who@else.example", declined=True)
PLANNED = {
    "linked to the deal": ("meeting", [COMES], {}, True),
    "linked to another deal": ("meeting", [COMES], {"deals": ("other",)}, False),
    "linked to no deal, with a contact of the deal": ("meeting", [COMES], {"deals": ()}, False),
    "one declined, the other is a colleague": ("meeting", [DECLINED, ME], {}, False),
    "all declined": ("meeting", [DECLINED, STRANGER_DECLINED], {}, False),
    "one declined, a stranger comes": ("meeting", [DECLINED, STRANGER], {}, True),
    "a colleague declined, a customer comes": ("meeting", [replace(ME, declined=True), COMES], {}, True),
    "a call": ("call", [ParticipantRecord("other", contact="ana")], {}, True),
    "a call among colleagues": ("call", [ParticipantRecord("other", colleague="me")], {}, False),
    "a call with nobody recorded": ("call", [], {}, True),
    "a cancelled call": ("call", ["ana"], {"state": "cancelled"}, False),
    "a message to be sent": ("message", ["ana"], {}, False),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "who", "fields", "counts"), PLANNED.values(), ids=PLANNED)
def test_what_counts_as_planned(kind, who, fields, counts):
    w = World()
    w.contact("ana")
    w.deal("other")
    w.on_deal("ana")
    w.activity(kind, -3, *who, **{"state": "planned", **fields})
    assert ("no_meeting" not in w.alerts()) is counts
    assert w.verdict("no_meeting").on == (w.day(-4) if counts else w.day(5))


@pytest.mark.django_db
def test_the_meeting_that_ends_last_decides():
    w = World()
    w.deal(created_at=w.at(60))
    w.activity("meeting", -4, state="planned", starts_at=w.at(2), ends_at=w.at(-4))
    w.activity("meeting", -3, state="planned", starts_at=w.at(-3, 11), ends_at=w.at(-3))
    assert w.verdict("no_meeting").on == w.day(-5)


# ---- single_contact: limit 5 days, minimum 3

STREAKS = {
    "too few": ([30, 20], None),
    "the minimum is reached before the limit": ([7, 6, 5], 2),
    "on the same day": ([7, 6, 2], 2),
    "a day after": ([7, 6, 1], 1),
    "today": ([7, 6, 0.1], 0),
    "the limit is not": ([4, 3, 2], None),
    "the limit is reached today": ([5, 4, 3], 0),
    "more than the minimum": ([20, 12, 11, 3, 2], 11),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("ago", "since"), STREAKS.values(), ids=STREAKS)
def test_a_streak_fires_on_the_later_of_its_limit_and_its_minimum(ago, since):
    w = world_of_five_days()
    w.configure(single_contact={"minimum": 3})
    w.deal(created_at=w.at(60))
    for days_ago in ago:
        w.activity("call", None, "ana", at=w.at(int(days_ago), 9))
    assert w.alerts().get("single_contact") == (None if since is None else w.day(since))


# ---- key_role


@pytest.mark.django_db
@pytest.mark.parametrize(("known", "since"), [(4, None), (5, 0), (6, 1)])
def test_a_role_that_never_spoke_counts_since_it_is_known(known, since):
    w = world_of_five_days()
    w.contact("bea", updated_at=w.at(60))
    w.on_deal("bea", created_at=w.at(60), updated_at=w.at(60))
    w.first_synced()
    today, seen = w.clock, w.at(known)
    w.clock = replace(today, now=seen)
    w.contact("bea", roles=("Champion",), updated_at=seen)
    w.clock = today
    assert w.alerts().get("key_role:champion") == (None if since is None else w.day(since))


@pytest.mark.django_db
def test_roles_on_the_deal_and_of_the_contact_add_up():
    w = World()
    w.configure(key_role={"roles": {"champion": 5, "decision maker": 5}})
    w.contact("ana", roles=("Champion",))
    w.deal(created_at=w.at(60), contacts=(DealContactRecord("ana", roles=("DECISION_MAKER",)),))
    assert {"key_role:champion", "key_role:decision maker"} <= w.alerts().keys()
