"""Where an account seems to keep roles and job titles."""

import pytest

from crm_sync.fields import guess
from crm_sync.providers.base import Field

LABELS = Field("label_ids", "Labels", "role", ("Customer", "Hot lead"))
NEWSLETTER = Field("n", "Newsletter", "role", ("Oui", "Non"))
ROLE = Field("r", "Part in the purchase", "role", ("Champion", "Économique", "Décideur"))
WORDS = Field("w", "Buying role", "role")
PEOPLE = Field("deal_people", "", "role", ("Champion", "DECISION_MAKER", "Sponsor"))
OWN_TITLE = Field("job_title", "Job title", "title")
MADE_TITLE = Field("t", "Fonction", "title")
NOTES = Field("m", "Notes", "title")


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        ([], ""),
        ([LABELS, NEWSLETTER], ""),
        ([LABELS, NEWSLETTER, ROLE], "r"),
        ([ROLE, PEOPLE], "deal_people"),  # three names of roles against two
        ([WORDS, LABELS], "w"),
        ([WORDS, ROLE], "r"),  # what offers roles, not what is called one
        ([Field("c", "Contrôle", "role")], ""),
        ([Field("1", "Rôle", "role"), Field("2", "Role", "role")], "1"),
    ],
)
def test_where_roles_are_kept(fields, role):
    assert guess(fields) == (role, "")


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ([], ""),
        ([NOTES], ""),
        ([OWN_TITLE], ""),  # read without being chosen
        ([NOTES, OWN_TITLE, MADE_TITLE], "t"),
    ],
)
def test_where_job_titles_are_kept(fields, title):
    assert guess(fields) == ("", title)
