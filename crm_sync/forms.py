import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django import forms
from django.utils.translation import gettext_lazy as _

from crm_sync import oauth
from crm_sync.models import ActivityType
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import Field
from deals import domains

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

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
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


class TypesForm(forms.Form):
    """What each of a connection's types of activities is; `chosen` after validation, by their ids."""

    version = forms.IntegerField(widget=forms.HiddenInput, initial=-1, required=False)

    def __init__(self, *args: object, types: Sequence[ActivityType], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.types = types
        for each in types:
            self.fields[f"type-{each.pk}"] = forms.ChoiceField(
                label=each.name,
                choices=ActivityType.Kind.choices,
                initial=each.kind or each.suggestion,
                required=False,
                widget=forms.Select(attrs={"class": "input"}),
            )

    @property
    def rows(self) -> list[tuple[ActivityType, forms.BoundField]]:
        return [(each, self[f"type-{each.pk}"]) for each in self.types]

    @property
    def chosen(self) -> dict[int, str]:
        """What the form names; of others nothing is said."""
        named = {each.pk: f"type-{each.pk}" for each in self.types}
        return {pk: self.cleaned_data[name] for pk, name in named.items() if name in self.data}


class DomainsForm(forms.Form):
    """Which mail domains are the organisation's own: some of those listed, and `more` with spaces or commas between."""

    version = forms.IntegerField(widget=forms.HiddenInput, initial=-1, required=False)
    own = forms.MultipleChoiceField(required=False)
    more = forms.CharField(
        label=_("Other domains"),
        help_text=_("Several with a space between them. A subdomain is a domain of its own."),
        required=False,
        max_length=5000,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: object, listed: Collection[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        own = self.fields["own"]
        assert isinstance(own, forms.MultipleChoiceField)
        own.choices = [(name, name) for name in listed]

    def clean_more(self) -> list[str]:
        named = filter(None, re.split(r"[\s,;]+", self.cleaned_data["more"]))
        return [domains.written(domains.plain(name)) for name in named]


def _choice(field: Field) -> str:
    """Its name, with the first of the roles that it offers."""
    name = field.label or _("People fields of the deal")
    if not field.options:
        return str(name)
    more = ", …" if len(field.options) > OPTIONS_SHOWN else ""
    return f"{name} ({', '.join(field.options[:OPTIONS_SHOWN])}{more})"
