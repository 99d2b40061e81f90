from dataclasses import dataclass

from django import forms
from django.utils.translation import gettext_lazy as _

from crm_sync import oauth
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import Field

OPTIONS_SHOWN = 4


@dataclass(frozen=True)
class SignIn:
    """That one may connect a CRM by signing in there; `possible` if this server has an app at it."""

    provider: str
    label: str
    possible: bool


class ConnectForm(forms.Form):
    provider = forms.ChoiceField(
        label=_("Your CRM"),
        widget=forms.RadioSelect,
        choices=[(name, provider.label) for name, provider in PROVIDERS.items()],
        error_messages={
            "required": _("Choose your CRM."),
            "invalid_choice": _("Vigie cannot read this CRM. Choose one of the list."),
        },
    )
    token = forms.CharField(
        label=_("Token"),
        max_length=500,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "off", "spellcheck": "false"}),
        error_messages={
            "required": _("Paste the token of your CRM."),
            "max_length": _("This is too long for a token. Copy the token alone."),
        },
    )

    @property
    def sign_ins(self) -> list[SignIn]:
        return [SignIn(name, crm.label, oauth.app(name) is not None) for name, crm in PROVIDERS.items()]


class FieldsForm(forms.Form):
    """Where the CRM holds role and job title of its people."""

    role_field = forms.ChoiceField(
        label=_("Where roles are kept"),
        help_text=_(
            "A field of your people, their labels, or the fields of a deal that name people: there the field is the "
            "role, and whom it names is its holder."
        ),
        required=False,
    )
    title_field = forms.ChoiceField(label=_("Field that holds the job title"), required=False)

    def __init__(self, *args: object, fields: list[Field], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for name, use in (("role_field", "role"), ("title_field", "title")):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            choices = [(each.key, _choice(each)) for each in fields if each.use == use]
            field.choices = [("", _("None")), *choices]
            field.widget.attrs["class"] = "input"
            field.error_messages["invalid_choice"] = _("This field is no longer in the CRM. Choose another one.")


def _choice(field: Field) -> str:
    """Its name, with the first of the roles that it offers."""
    name = field.label or _("People fields of the deal")
    if not field.options:
        return str(name)
    more = ", …" if len(field.options) > OPTIONS_SHOWN else ""
    return f"{name} ({', '.join(field.options[:OPTIONS_SHOWN])}{more})"
