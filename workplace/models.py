"""How people work with what the other rooms know: who is invited, what was reviewed, what is still to be set up."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Organisation, User
from accounts.tenancy import TenantKey, TenantModel, TenantPart
from deals.models import Deal, Team


class Invitation(TenantModel):
    """An e-mail address that may join. The link carries a signature, so that nothing secret is kept here, and ends with
    the row or when it has been accepted."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="invitations", db_index=False)
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Membership.Role, default=Membership.Role.REP)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    invited_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "email"],
                name="invitation_one_open",
                condition=Q(accepted_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.email


class Review(TenantModel):
    """One pipeline review of a team, or of everybody (`team` is None). What changed is told since the one before.

    A team has one that runs (`ended_at` is None): whoever reviews it works in that one.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="reviews", db_index=False)
    team = TenantKey(Team, null=True, related_name="+", db_index=False)
    held_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "team"],
                name="review_one_running",
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["organisation", "team", "began_at"], name="review_history")]


class ReviewedDeal(TenantPart):
    """A deal that was looked at in a review."""

    review = TenantKey(Review, related_name="deals", db_index=False)
    deal = TenantKey(Deal, related_name="+", db_index=False)
    reviewed_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    reviewed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "review", "deal"], name="reviewed_deal_once")]


class Note(TenantPart):
    """What was said of a deal in a review, at most 5,000 characters (workplace.review)."""

    deal = TenantKey(Deal, related_name="notes", db_index=False)
    text = models.TextField()
    written_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    written_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["organisation", "deal", "written_at"], name="note_history")]


class CalendarFeed(TenantModel):
    """The iCal address of one member, and whose deals are in it: their own, a team's (`team`) or all.

    The address carries a signature of the row and of `created_at`: another time makes another address, and the old one
    ends (workplace.ical).
    """

    class Deals(models.TextChoices):
        OWN = "own", _("My own deals")
        TEAM = "team", _("The deals of a team")
        ALL = "all", _("All deals")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="calendar_feeds", db_index=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    deals = models.CharField(max_length=4, choices=Deals, default=Deals.OWN)
    team = TenantKey(Team, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "user"], name="calendar_feed_one")]


class Onboarding(TenantModel):
    """How far an organisation has come with its set-up: {step: "done" or "skipped"}; one that is missing is open."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="onboardings", db_index=False)
    steps = models.JSONField(default=dict)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation"], name="onboarding_one")]
