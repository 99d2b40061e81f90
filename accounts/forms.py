"""Forms about a person: login, profile, password, invitation."""

import zoneinfo
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm, SetPasswordMixin
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, User

CONTINENTS = {
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
}


def _own_address() -> forms.EmailField:
    """The address that one logs in with."""
    return forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"class": "input", "autofocus": True, "autocomplete": "username"}),
        error_messages={"required": _("Enter your e-mail address."), "invalid": _("This is not an e-mail address.")},
    )


class LoginForm(AuthenticationForm):
    """The same answer for an unknown address and a wrong password."""

    error_messages = {
        "invalid_login": _("This e-mail address and password do not match. Check both; capital letters matter."),
        "inactive": _("This account has been switched off. Ask an admin of your organisation."),
    }
    username = _own_address()
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "current-password"}),
        error_messages={"required": _("Enter your password.")},
    )

    def clean_username(self) -> str:
        """In one spelling, so that failures of "Ana@" and "ana@" are counted together."""
        address: str = self.cleaned_data["username"].strip().lower()
        return address


PASSWORD_HELP = _("12 characters or more, unlike your name, and none of those that everybody uses.")


class PasswordForm(PasswordChangeForm):
    """A new password, against the old one; the validators of the settings judge it."""

    field_order = ["old_password", "new_password1", "new_password2"]

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        _dress(self.fields["old_password"], _("Present password"))
        del self.fields["old_password"].widget.attrs["autofocus"]  # the page has more than this form
        _dress(self.fields["new_password1"], _("New password"), PASSWORD_HELP)
        _dress(self.fields["new_password2"], _("New password again"))


class ForgottenForm(forms.Form):
    """Who wants a link for a new password."""

    email = _own_address()


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    """A new password for who has followed a link."""

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        _dress(self.fields["new_password1"], _("New password"), PASSWORD_HELP)
        _dress(self.fields["new_password2"], _("New password again"))
        self.fields["new_password1"].widget.attrs["autofocus"] = True


class JoinForm(SetPasswordMixin, forms.Form):  # type: ignore[type-arg]
    """The name and password with which somebody who was invited becomes a user."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=200,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "name", "autofocus": True}),
        error_messages={"required": _("Enter your name, as your colleagues know you.")},
    )
    password1, password2 = SetPasswordMixin.create_password_fields()

    def __init__(self, email: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email
        _dress(self.fields["password1"], _("Password"), PASSWORD_HELP)
        _dress(self.fields["password2"], _("Password again"))

    def clean(self) -> dict[str, Any]:
        self.validate_passwords()
        user = User(email=self.email, name=self.cleaned_data.get("name", ""))
        self.validate_password_for_user(user, "password1")
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        return cleaned

    def save(self) -> User:
        """Raises IntegrityError when somebody has this address by now."""
        return User.objects.create_user(self.email, self.cleaned_data["password1"], name=self.cleaned_data["name"])


class InviteForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"class": "input", "autocomplete": "off"}),
        error_messages={"required": _("Enter an e-mail address."), "invalid": _("This is not an e-mail address.")},
    )
    role = forms.ChoiceField(
        label=_("Role"),
        choices=Membership.Role.choices,
        initial=Membership.Role.REP,
        widget=forms.Select(attrs={"class": "input"}),
    )


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a person chose for every page, and, for one membership, how often they get a digest."""

    language = forms.ChoiceField(label=_("Language"), required=False, widget=forms.Select(attrs={"class": "input"}))
    time_zone = forms.ChoiceField(label=_("Time zone"), required=False, widget=forms.Select(attrs={"class": "input"}))
    theme = forms.ChoiceField(label=_("Appearance"), required=False, widget=forms.Select(attrs={"class": "input"}))
    digest = forms.ChoiceField(label=_("E-mail digest"), choices=Membership.Digest.choices, widget=forms.RadioSelect)

    class Meta:
        model = User
        fields = ("name", "language", "time_zone", "theme")
        labels = {"name": _("Your name")}
        widgets = {"name": forms.TextInput(attrs={"class": "input", "autocomplete": "name"})}

    def __init__(self, membership: Membership, data: Any = None) -> None:
        super().__init__(data, instance=membership.user, initial={"digest": membership.digest})
        self.membership = membership
        own = {"zone": membership.organisation.time_zone.replace("_", " ")}
        choices: dict[str, list[Any]] = {
            "language": [("", _("As the browser asks")), *settings.LANGUAGES],
            "time_zone": [("", _("That of the organisation (%(zone)s)") % own), *time_zones()],
            "theme": [("", _("As the system")), ("light", _("Light")), ("dark", _("Dark"))],
        }
        self.fields["time_zone"].help_text = _(
            "Times of day are shown in it. “Today”, limits in days and close dates are those of the organisation, the "
            "same for everybody."
        )
        for name, values in choices.items():
            self.fields[name].choices = values  # type: ignore[attr-defined]

    def save(self, commit: bool = True) -> User:
        digest = self.cleaned_data["digest"]
        if digest != self.membership.digest:
            if self.membership.digest == Membership.Digest.NEVER:
                self.membership.digest_until = None  # what was long ago is no news
            self.membership.digest = digest
            self.membership.save(update_fields=["digest", "digest_until"])
        user: User = super().save(commit)
        return user


@cache
def time_zones() -> list[tuple[str, list[tuple[str, str]]]]:
    """Those named after a place, by continent; the names are those of the tz database, in every language."""
    names = (name.partition("/") for name in sorted(zoneinfo.available_timezones()))
    places = ((continent, place) for continent, _slash, place in names if continent in CONTINENTS)
    return [
        (continent, [(f"{continent}/{place}", place.replace("_", " ").replace("/", ", ")) for _c, place in group])
        for continent, group in groupby(places, key=itemgetter(0))
    ]


def _dress(field: forms.Field, label: Any, help_text: Any = "") -> None:
    field.label, field.help_text = label, help_text
    field.widget.attrs["class"] = "input"
