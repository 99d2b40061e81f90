"""Job titles to levels, as a person reads them: tables of titles, then properties that hold for every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deals.seniority import Level, Match, explain, level_of

C_LEVEL = """
CEO
ceo
C.E.O.
C.E.O
CFO
COO
CTO
CIO
CMO
CRO
CPO
CSO
CHRO
CDO
CISO
CCO
CLO
CGO
CBO
CxO
Interim CEO
Co-CEO
CEO Europe
CEO - Europe
CEO, Acme
CEO @ Acme
Chief Revenue Officer
Chief Executive
Chief Executive Officer
Chief Information Security Officer
Chief Sales & Marketing Officer
Chief Sales and Marketing Officer
Chief Technology/Product Officer
Chief Data - AI Officer
Chief Product, Data & Technology Officer
Founder
Co-Founder & CTO
Cofounder
Founding CTO
CEO/Founder
CEO | Founder
Directeur technique (CTO)
Fondateur
Fondatrice
Cofondatrice
Co-fondateur
Fondateur·rice
Associé fondateur
President
Président
PRÉSIDENTE
Président·e
Président(e) Directeur(trice) Général(e)
Président.e-directeur.rice général.e
President of the Board
Président du directoire
Chair
Chairman of the board
Chairwoman
Chairperson, Board of Directors
PDG
P.-D.G.
P.D.G
P-DG
C. E. O.
DG
D.G.
DG France
DG délégué
Directeur Général
Directeur général
Directrice générale
Directeur/trice général·e
Directeur / Directrice général(e)
Directeur Général & Fondateur
Directrice générale déléguée
Directeur général des services
Managing Director
General Manager CEO
Gérant
Gérante
Gérant·e
Co-gérante
Gérant associé
Chef d'entreprise
Cheffe d’entreprise
Chef d entreprise
Sales Director & Co-Founder
VP Sales and Co-Founder
CEO and Deputy Chairman
Deputy CEO and CFO
Creative Director and Co-Founder
Directrice artistique, fondatrice
CFO and Secretary
CEO and Product Owner
Founder and former CEO
Former CEO / Founder
Advisory Board Chairman
"""

VP = """
VP
V.P.
V.P. Sales
SVP
SVP, Global Sales
EVP
AVP
RVP
VP Sales
VP of Founder Success
VP / Head of Data
VP Analyst
VP, Office of the CEO
VP Sales (ex-Google)
Vice President
Vice-President
Vice Président
Vice-Présidente Ventes
Vice-président·e
Vice-président exécutif
Senior Vice President
Executive Vice President
Regional Vice President
Associate Vice President
Vice President, President's Club
Vice chairman
Vice-Chair
Deputy CEO
Deputy Managing Director
Deputy Chief Financial Officer
Deputy to the CEO
Vice CEO
DGA
D.G.A.
DGA Finances
DG adjoint
DG adj.
Directeur Général Adjoint
Directrice générale adjointe
Directeur(trice) général(e) adjoint(e)
Directeur·rice général·e adjoint·e
Directeur général adjoint en charge des finances
Directeur général adjoint, DRH
Adjointe au DG
Adjoint au directeur général
"""

DIRECTOR = """
Director
Director of Engineering
Sales Director
Senior Director
Associate Director
Regional Director
Executive Director
Directeur
Directrice
DIRECTRICE
Directeur commercial
Directrice Marketing
Directeur·rice des achats
Directeur•rice des achats
Directeur.rice des achats
Directeur/rice des achats
Directeur-rice des achats
Directeur(rice) des achats
Directeur·trice des achats
Directeur.trice des achats
Directeur/trice des achats
Directeur-trice des achats
Directeur(trice) des achats
Directeur (trice) des achats
Directeur(-trice) des achats
Directeur / trice des achats
directeur·rice·s des achats
Directeur ou directrice des achats
Directeur/e-commerce
Directeur e-commerce
Directeur de projet
Directeur de la communication interne
Directeur sous-traitance
Directrice de maison de retraite
Directeur de cabinet du PDG
Directeur, Bureau du Président
Directeur R&D
Head of Sales
Head of Sales (ex-Google)
Head of CFO Services
Co-head of Growth
Senior Director, Strategic Accounts
Head of Sales & Marketing
Former CEO, now Head of Sales
Former CEO - Director
Director, formerly CEO
Head of Sales, Assistant to the CEO
Chief of Staff, Director
Chef de projet, directeur
General Manager
Secrétaire général
Secrétaire générale
Secretary General
DAF
DRH
DSI
D.S.I.
Directeur administratif et financier
Directrice des ressources humaines
Directeur des systèmes d'information
Assistant Vice President
Assistant VP
Asst. Vice President
Deputy VP
Deputy Vice President
Directeur adjoint et DRH
"""

NONE = """
CSM
Sales
Engineer
Acheteuse
Chef
Cheffe
Chef des ventes
Chief
Chief Architect
Chief Engineer
Chef de projet
Chefs de projets
Cheffe de projet DSI
Chef de produit
Chef de service
Chef de chantier
Responsable commercial
Assistant to the CEO
Assistant to CEO and CFO
Assistant to the CEO, CFO & Founder
Assistante de direction
Assistante de la DG
Assistant du directeur, DRH
Assistante DG
Assistant CEO
DG assistante
CEO Assistant
VP Assistant
Assistant Managing Director
Assistant Director
Assistant General Manager
Assistant DAF
Assistante du vice-président
Executive Assistant
Executive Assistant to the CEO
Chief Executive Assistant
EA to the CEO
EA CEO
PA to Founder
EA/PA to the CEO, CFO
Secretary
Secretary to the President
Secrétaire de direction
Secrétaire du directeur général
Head of the CEO's office
Head of the CEO’s office
Office of the CEO
Office of the CEO, Director
Head of the Office of the President
Founder's Office
CEO Office
CEO's wife
Former CEO
Formerly Managing Director
Former CEO and CFO
CEO (former)
Ex-CEO
Ex DG
Ancien directeur général
Ancienne présidente
Ancien·ne président·e
Intern
CEO Intern
Intern to the CEO
Stagiaire
Stagiaire auprès du DG
Stagiaire auprès du DG, DRH
Alternante
Alternant·e DRH
Chargée de mission auprès de la présidente
Founder's Associate
Founder’s Associate
Founders Associate
Founders' Associate
Founder Associate
Founding engineer
Founding Engineer CTO
Chief of Staff
Chief of Staff to the CEO
Chief of Staff to the CEO, Director
Deputy Chief of Staff
Adviser to the President
Advisor to the CEO & Founder
Conseiller du président
Conseillère auprès du directeur, DG
Conseiller·ère du DG
Account Director
Senior Account Director
Sales and Account Director
Art Director
Creative Director
Directeur artistique
Directeur·rice artistique
Directrice de création
Directeur de la création
Directrice de clientèle
Product Owner
CRM Manager
CRO Manager
CPO manager
Manager CRO
CTO Engineer
Ingénieur CTO
Ingénieure CTO
Dessinateur CFO
Dessinatrice CFO
Dessinateur CFA/CFO
Consultant DSI
Gérant de portefeuille
Directeur adjoint
Directrice adjointe
Directeur·rice adjoint·e
Directeur/Directrice adjoint(e)
Directeur adjoint des achats
Directeur régional adjoint
Directeur adjoint de la DSI
Directeur administratif et financier adjoint
Adjoint au directeur
Deputy Director
Deputy Head of Sales
Sous-directeur
Sous directrice
Sous-directeur·rice
Vice-directeur
DSI adjoint
Secrétaire général adjoint
Membre du conseil d'administration
Board of Directors
President's Club Member
Salesforce MVP
VPS administrator
Présidence
Direction générale
Vice
Head
Forehead office
Wheelchair designer
Directory manager
الرئيس التنفيذي
代表取締役
"""

LEVELS = {Level.C_LEVEL: C_LEVEL, Level.VP: VP, Level.DIRECTOR: DIRECTOR, Level.NONE: NONE}
TABLE = [(title, level) for level, titles in LEVELS.items() for title in titles.strip().splitlines()]


@pytest.mark.parametrize(("title", "level"), TABLE)
def test_a_title_gives_the_level_that_a_person_reads(title, level):
    assert level_of(title) is level


@pytest.mark.parametrize(
    "title", ["", " ", "\t\n", "\u00a0", "\u200b", "-", "—", "...", "🚀", "<br>", "<p></p>", "&nbsp;"]
)
def test_a_title_without_letter_or_digit_is_unknown(title):
    assert explain(title) == Match(None, "empty")


@pytest.mark.parametrize(
    ("title", "rule"),
    [
        ("CEO", "c_level:ceo"),
        ("Chief Revenue Officer", "c_level:chief officer"),
        ("Directrice générale", "c_level:directeur general"),
        ("Sales Director & Co-Founder", "c_level:founder"),
        ("CEO & Founder", "c_level:ceo"),
        ("Senior Vice-President", "vp:vice president"),
        ("Head of Sales", "director:head of"),
        ("Deputy CEO", "demoted:ceo"),
        ("Assistant VP", "demoted:vp"),
        ("Sous-directrice", "demoted:directeur"),
        ("Assistant to the CEO", "not an office:assistant to"),
        ("Assistante DG", "not an office:assistant"),
        ("EA to the CEO", "not an office:ea/pa to"),
        ("Head of the CEO's office", "not an office:office of"),
        ("Stagiaire auprès du DG", "not an office:intern"),
        ("Founders' Associate", "not an office:founder's associate"),
        ("Chef de projet", "not an office:chef de projet"),
        ("Ingénieur CTO", "not an office:subject"),
        ("CEO's wife", "not an office:of ceo"),
        ("Former CEO", "not an office:former"),
        ("Paris, former CEO", "not an office:former"),
        ("Former CEO, now Head of Sales", "director:head of"),
        ("CSM", "no office"),
    ],
)
def test_the_rule_that_decided_is_told(title, rule):
    assert explain(title).rule == rule


@pytest.mark.parametrize(
    ("title", "level"),
    [
        ("🚀 CEO 🚀", Level.C_LEVEL),
        ("CEO🚀", Level.C_LEVEL),
        ("𝐂𝐄𝐎", Level.C_LEVEL),
        ("ＣＥＯ", Level.C_LEVEL),
        ("\u200fCEO\u200f شركة", Level.C_LEVEL),
        ("مدير، CEO", Level.C_LEVEL),
        ("C\u00adE\u200bO", Level.C_LEVEL),
        ("Dire\u0301cteur ge\u0301ne\u0301ral", Level.C_LEVEL),
        ("  directeur \u00a0 général\t", Level.C_LEVEL),
        ("<b>Former</b> CEO", Level.NONE),
        ("<p>Former CEO</p><p>Head of Sales</p>", Level.DIRECTOR),
        ("Former CEO<BR/>VP", Level.VP),
        ('<a href="https://acme.example/ceo">Engineer</a>', Level.NONE),
        ("Founder &amp; CEO", Level.C_LEVEL),
        ("Head&nbsp;of&nbsp;Sales", Level.DIRECTOR),
        ("Chef d&#39;entreprise", Level.C_LEVEL),
        ("Former CEO\nVP Sales", Level.VP),
        ("Former CEO • VP Sales", Level.VP),
        ("Former CEO — VP Sales", Level.VP),
        ("Head_of_Sales", Level.DIRECTOR),
    ],
)
def test_typography_and_markup_do_not_hide_a_title(title, level):
    assert level_of(title) is level


UNITS = ("vice ", "chief ", "chief a ", "ceo ", "assistant to ", "of the ", "manager dsi ", "chief & ", "'s office ")
TYPOGRAPHY = ("a.", "e·", "<", "<b", "&", "&#", "et ", "(", "a/", " -", "directeur ou ", "\u0301", "é", "🚀", "ل")


@pytest.mark.parametrize("unit", [*UNITS, *TYPOGRAPHY])
def test_a_very_long_title_returns(unit):
    # Ten times what a CRM could hold: a quadratic pattern would take minutes.
    assert level_of("VP, " + unit * (100_000 // len(unit))) >= Level.VP


def test_a_very_long_title_is_read_to_its_end():
    assert level_of("Paris, " * 1_500 + "VP") is Level.VP


WORDS = ("of", "the", "to", "de", "du", "and", "et", "&", "/", ",", "-", "|", "former", "deputy")
TITLES = st.lists(st.sampled_from([title for title, _ in TABLE] + [*WORDS]), min_size=1, max_size=6).map(" ".join)
ANY_TEXT = st.text(max_size=60) | st.lists(st.text(max_size=8) | TITLES, max_size=5).map("".join)


@given(ANY_TEXT)
def test_no_text_raises_and_level_of_is_the_level_explained(text):
    match = explain(text)
    assert match.level in (None, *Level)
    assert level_of(text) is match.level
    assert 0 < len(match.rule) <= 60


@given(TITLES)
def test_case_does_not_change_the_match(title):
    assert explain(title.upper()) == explain(title.lower()) == explain(title)


@given(TITLES)
def test_accents_do_not_change_the_match(title):
    plain = title.translate(str.maketrans("éèêàçôîÉ’", "eeeacoiE'"))
    assert explain(plain) == explain(title)


@given(TITLES, st.sampled_from([" ", "  ", "\t", "\u00a0", "\u202f \u200b"]))
def test_spaces_do_not_change_the_match(title, space):
    assert explain(f"{space}{title.replace(' ', space)}{space}") == explain(title)


@given(ANY_TEXT)
def test_a_segment_without_office_neither_raises_nor_lowers(text):
    match = explain(text)
    if match.level is not None:
        assert explain(f"{text}, Paris") == explain(f"Paris, {text}") == match


@given(ANY_TEXT, st.sampled_from(["CEO", "VP", "Director"]))
def test_an_office_in_front_is_never_lost(text, office):
    level = level_of(office)
    assert level_of(f"{office}, {text}") >= level


@pytest.mark.parametrize(
    "office", ["CEO", "Managing Director", "Présidente", "DG", "VP", "Director", "Head of HR", "DSI"]
)
def test_a_deputy_ranks_one_level_below_the_office(office):
    assert level_of(f"Deputy {office}") == level_of(f"{office} adjointe") == level_of(office) - 1


@given(st.sampled_from(TABLE))
def test_a_deputy_never_ranks_above_the_office(row):
    title, level = row
    assert level_of(f"Deputy {title}") <= level
