from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _


class LoginForm(AuthenticationForm):
    """The same answer for an unknown address and a wrong password."""

    error_messages = {
        "invalid_login": _("This e-mail address and password do not match. Check both; capital letters matter."),
        "inactive": _("This account has been switched off. Ask an admin of your organisation."),
    }
    username = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"class": "input", "autofocus": True, "autocomplete": "username"}),
        error_messages={"required": _("Enter your e-mail address."), "invalid": _("This is not an e-mail address.")},
    )
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
