"""Who: people, the organisations they belong to, and their part in each."""

import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(_("“%(value)s” is not a known time zone."), params={"value": value})


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=(username or "").strip())


class User(AbstractBaseUser):
    """A person, known by e-mail address. What they may do is said by their memberships."""

    email = models.EmailField(_("e-mail"), max_length=254)
    name = models.CharField(_("name"), max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    # What the person chose for every page; blank: the organisation's, the system's.
    language = models.CharField(max_length=2, blank=True, default="", db_default="")
    time_zone = models.CharField(max_length=64, blank=True, default="", db_default="")
    theme = models.CharField(max_length=5, blank=True, default="", db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]

    def __str__(self) -> str:
        return self.name or self.email

    def zone_in(self, organisation: "Organisation") -> zoneinfo.ZoneInfo:
        """In which times of day are shown to this person."""
        return zoneinfo.ZoneInfo(self.time_zone) if self.time_zone else organisation.zone


class Organisation(models.Model):
    """The tenant. `time_zone` decides what "today" is; `currency` is what sums are shown in first."""

    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="Europe/Paris", validators=[validate_time_zone])
    country = models.CharField(max_length=2, default="FR")
    currency = models.CharField(max_length=3, default="EUR")
    language = models.CharField(max_length=2, choices=[("en", "English"), ("fr", "Français")], default="en")
    own_domains = models.JSONField(default=list, blank=True)
    # The rules that the stored levels of job titles come from (deals.titles).
    title_rules = models.CharField(max_length=16, blank=True, default="", db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)


class Membership(models.Model):
    class Role(models.TextChoices):
        ADMIN = "admin", _("Admin")
        MANAGER = "manager", _("Manager")
        REP = "rep", _("Rep")

    class Digest(models.TextChoices):
        NEVER = "never", _("Never")
        DAILY = "daily", _("Every working day")
        WEEKLY = "weekly", _("Every Monday")

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.REP)
    digest = models.CharField(max_length=10, choices=Digest, default=Digest.NEVER, db_default="never")
    digest_until = models.DateTimeField(null=True)  # what happened before has been told; None: nothing yet

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="membership_unique")]

    def __str__(self) -> str:
        return f"{self.user} · {self.organisation} · {self.role}"

    @property
    def is_admin(self) -> bool:
        return self.role == self.Role.ADMIN


class SignIn(models.Model):
    """A session as its owner sees it: on which device (User-Agent), since when, last used when. It ends with it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins")
    session = models.OneToOneField(Session, models.CASCADE, related_name="+")
    device = models.CharField(max_length=300, blank=True)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user} · {self.began_at:%Y-%m-%d}"
