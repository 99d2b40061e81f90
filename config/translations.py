"""Translations without the system's gettext: `python -m config.translations extract|compile|check`.

Texts are English in code and templates; `locale/fr/LC_MESSAGES/django.po` holds the French.
extract  brings the catalogue up to date: new texts arrive empty, vanished ones leave
compile  writes the .mo that Django reads (not committed)
check    fails when a text is missing, unsure (fuzzy), unused, or has other placeholders than its source
"""

import re
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract as extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("accounts", "alerts", "config", "crm_sync", "deals", "templates", "workplace")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
LANGUAGES = ("fr",)
PLACEHOLDER = re.compile(r"%\(\w+\)\w")


def catalogue_path(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def source_files() -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".html", ".txt"} and "migrations" not in path.parts:
                yield path


def extract() -> Catalog:
    """All texts of the product, with the files that use them."""
    catalog = Catalog(project="Vigie", charset="utf-8")
    for path in source_files():
        text = path.read_text("utf-8")
        if path.suffix != ".py":
            # Django turns a template into calls of gettext between runs of X; indentation would confuse the tokenizer.
            text = "\n".join(line.strip() for line in templatize(text, origin=path.name).splitlines())
        found = extract_python("python", BytesIO(text.encode()), KEYWORDS, ("Translators:",), {"encoding": "utf-8"})
        for _line, message, comments, context in found:
            catalog.add(
                message, None, [(path.relative_to(ROOT).as_posix(), 1)], auto_comments=comments, context=context
            )
    return catalog


def read(language: str) -> Catalog:
    path = catalogue_path(language)
    if not path.exists():
        return Catalog(locale=language, domain="django", charset="utf-8", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain="django")


def update(language: str) -> Catalog:
    """The catalogue of a language with exactly the texts in use."""
    catalog = read(language)
    catalog.update(extract(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def write(language: str) -> None:
    catalog = update(language)
    path = catalogue_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")  # nobody reads half a catalogue
    with written.open("wb") as file:
        write_po(file, catalog, width=100, sort_by_file=True, include_lineno=False, omit_header=True)
    written.replace(path)


def compile_catalogue(language: str) -> None:
    with catalogue_path(language).with_suffix(".mo").open("wb") as file:
        write_mo(file, read(language))


def is_complete(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, tuple | list) else bool(message.string)


def placeholders(text: str | Sequence[str]) -> set[str]:
    """Of a plural those of its last form: a singular may say "one" in words."""
    return set(PLACEHOLDER.findall(text if isinstance(text, str) else text[-1]))


def faults(catalog: Catalog, used: Catalog) -> list[str]:
    """What is wrong with a catalogue for the texts in use, one sentence each; empty when it is complete."""
    known = {(message.id, message.context): message for message in catalog if message.id}
    wanted = {(message.id, message.context) for message in used if message.id}
    found = [f"missing: {text!r}" for text, context in wanted - known.keys()]
    for key, message in known.items():
        if key not in wanted:
            found.append(f"unused: {message.id!r}")
        elif message.fuzzy or not is_complete(message):
            found.append(f"not translated: {message.id!r}")
        elif placeholders(message.id) != placeholders(message.string or ""):
            found.append(f"other placeholders: {message.id!r}")
    return sorted(found)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["extract"]:
            for language in LANGUAGES:
                write(language)
            return 0
        case ["compile"]:
            for language in LANGUAGES:
                compile_catalogue(language)
            return 0
        case ["check"]:
            used = extract()
            found = [f"{language}: {fault}\n" for language in LANGUAGES for fault in faults(read(language), used)]
            sys.stdout.writelines(found)
            return bool(found)
    sys.stderr.write("usage: python -m config.translations extract|compile|check\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
