"""Words of which companies, people and deals are made. All people and companies are invented."""


def words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


def phrases(text: str) -> list[str]:
    return text.split(" | ")


FIRST = {
    "fr": {
        "f": words(
            "Camille Nathalie Sandrine Aurélie Élodie Mathilde Inès Hélène Karine Solène Amandine Yasmine Bénédicte "
            "Margaux Céline Fatou Léa Véronique Anne-Sophie Delphine Océane Sylvie Agathe Maëlle"
        ),
        "m": words(
            "Julien Thomas Étienne Karim Olivier Bastien Grégoire Damien Mehdi Loïc Antoine Rémi Pascal Guillaume "
            "Cédric Yann Thibault Fabrice Jean-Marc Mamadou Arnaud Quentin Hervé Benoît"
        ),
    },
    "en": {
        "f": words(
            "Harriet Olivia Megan Charlotte Priya Grace Eleanor Holly Fiona Aisha Laura Hannah Rebecca Joanne Naomi "
            "Imogen Beth Caitlin Zoe Rachel Alison Ruth Ingrid Tessa"
        ),
        "m": words(
            "Oliver Callum Nathan Rhys Duncan Samir Gareth Elliot Marcus Toby Ewan Dominic Adrian Patrick Leon Hugh "
            "Stuart Colin Ravi Jonah Felix Gordon Theo Alistair"
        ),
    },
}
LAST = {
    "fr": words(
        "Marchand Delaunay Berthelot Lemoine Vasseur Roussel Carpentier Guérin Poulain Charpentier Bouvier Renaud "
        "Leclercq Besnard Hamon Texier Cordier Joubert Maillard Pichon Blanchet Perrot Benali Diallo Lefèvre Gaillard "
        "Tessier Prévost Chevallier Morvan Aubry Descamps Rivière Lacombe Humbert Collet Bazin Verdier Mallet Coulon "
        "Fournel Lavigne Haddad Traoré Nguyen-Ledoux Le_Goff Kervella Saint-Aubin d'Hérouville Courtois"
    ),
    "en": words(
        "Whitfield Ashdown Harcourt Pemberton Radley Thornbury Kessler Marsden Okafor Lindqvist Hargreaves Penrose "
        "Brackley Sandhu Holloway Fairweather Wexford Dunmore Ellsworth Garrick Mayhew Oakden Prescott "
        "Rowntree Stapleton Tindall Underhill Vickers Wadsworth Yarwood Abernathy Blakeney Carrow Desai "
        "Everleigh Fenwick Goodall Hartnell Iveson Jessop Kirkbride Lanyon Merrick Northcott O'Dwyer Pryce "
        "Quigley Ridgewell Selwood Trelawny"
    ),
}
COMPANY = {
    "fr": phrases(
        "Transports {} | Laiterie {} | Ateliers {} | Groupe {} | Cabinet {} & Associés | Imprimerie {} | "
        "Menuiserie {} | "
        "Maison {} | Éditions {} | {} Ingénierie | {} Logistique | {} Énergie | Clinique {} | Domaine {} | "
        "{} Distribution | Fonderie {} | Pharmacie Centrale {} | {} & Fils | Conserverie {} | {} Assurances | "
        "Brasserie {} | {} Nettoyage Industriel | {} Bâtiment | Coopérative {}"
    ),
    "en": phrases(
        "{} Logistics | {} Foods Ltd | {} & Sons | {} Engineering | {} Care Homes | {} Packaging | "
        "{} Insurance Brokers | "
        "{} Outdoor | {} Analytics | {} Textiles | {} Renewables | {} Hotels | {} Dental Group | {} Freight | "
        "{} Building Supplies | {} Learning Trust | {} Biotech | {} Print Works | {} Dairies | {} Property Services | "
        "{} Robotics | {} Vineyards | {} Marine | {} Retail Group"
    ),
}
CITY = {
    "fr": words("Lyon Nantes Rennes Lille Bordeaux Grenoble Strasbourg Dijon Angers Tours Reims Brest Metz Annecy Pau"),
    "en": words("Leeds Bristol Cardiff Dublin Norwich Exeter York Derby Leicester Perth Bath Preston Cork Hull Oxford"),
}

# Levels of a job title: c C-level, v VP, d Director, n none of them, - no title at all.
# Each title is given for a woman and for a man.
TITLES: dict[str, dict[str, list[tuple[str, str]]]] = {
    "c": {
        "fr": [
            ("PDG", "PDG"),
            ("Directrice Générale", "Directeur Général"),
            ("Cofondatrice", "Cofondateur"),
            ("Présidente", "Président"),
            ("Gérante", "Gérant"),
            ("Cheffe d'entreprise", "Chef d'entreprise"),
            ("Directrice Générale & Fondatrice", "Directeur Général & Fondateur"),
        ],
        "en": [
            ("CEO", "CEO"),
            ("Chief Revenue Officer", "Chief Revenue Officer"),
            ("Co-Founder & CTO", "Co-Founder & CTO"),
            ("Managing Director", "Managing Director"),
            ("C.F.O.", "C.F.O."),
            ("Sales Director & Co-Founder", "Sales Director & Co-Founder"),
        ],
    },
    "v": {
        "fr": [
            ("Vice-Présidente Ventes", "Vice-Président Ventes"),
            ("DGA", "DGA"),
            ("Directrice générale adjointe", "Directeur général adjoint"),
        ],
        "en": [
            ("SVP, Global Sales", "SVP, Global Sales"),
            ("VP / Head of Data", "VP / Head of Data"),
            ("Associate Vice President", "Associate Vice President"),
            ("Deputy CEO", "Deputy CEO"),
        ],
    },
    "d": {
        "fr": [
            ("Directrice Marketing", "Directeur Marketing"),
            ("Directrice des achats", "Directeur des achats"),
            ("Directeur·rice des achats", "Directeur·rice des achats"),
            ("DAF", "DAF"),
            ("DRH", "DRH"),
            ("DSI", "DSI"),
            ("Secrétaire générale", "Secrétaire général"),
        ],
        "en": [
            ("Head of Sales", "Head of Sales"),
            ("Senior Director, Operations", "Senior Director, Operations"),
            ("General Manager", "General Manager"),
            ("Director of Procurement", "Director of Procurement"),
        ],
    },
    "n": {
        "fr": [
            ("Assistante de direction", "Assistant de direction"),
            ("Cheffe de projet", "Chef de projet"),
            ("Acheteuse", "Acheteur"),
            ("Responsable logistique", "Responsable logistique"),
            ("Contrôleuse de gestion", "Contrôleur de gestion"),
            ("Directrice adjointe", "Directeur adjoint"),
            ("Stagiaire auprès du DG", "Stagiaire auprès du DG"),
            ("Ingénieure CTO", "Ingénieur CTO"),
            ("Chargée de clientèle", "Chargé de clientèle"),
        ],
        "en": [
            ("Assistant to the CEO", "Assistant to the CEO"),
            ("Account Director", "Account Director"),
            ("Former CEO", "Former CEO"),
            ("CSM", "CSM"),
            ("Procurement Manager", "Procurement Manager"),
            ("Operations Lead", "Operations Lead"),
            ("Product Owner", "Product Owner"),
            ("Business Analyst", "Business Analyst"),
        ],
    },
    "-": {"fr": [("", "")], "en": [("", "")]},
}
ROLES = ["Decision maker", "Champion", "Budget holder", "Influencer", "End user"]

DEAL = {
    "fr": [
        "{} – abonnement Pro ({} postes)",
        "Renouvellement – {} ({} postes)",
        "{} : déploiement sur {} sites",
        "Migration ERP {} – lot {}",
        "{} – extension de {} licences",
        "Audit et formation {} ({} jours)",
        "Contrat cadre {} – {} mois",
        "{} / pilote {} utilisateurs",
    ],
    "en": [
        "{} – Pro plan ({} seats)",
        "Renewal – {} ({} seats)",
        "{}: rollout to {} sites",
        "{} – ERP migration, phase {}",
        "{} upsell, {} licences",
        "Onboarding and training {} ({} days)",
        "{} framework agreement – {} months",
        "{} / pilot for {} users",
    ],
}
SUBJECT = {
    "fr": {
        "call": "Point téléphonique|Appel de découverte|Relance devis|Questions sur l'offre|Suivi du pilote",
        "meeting": "Démonstration|Atelier de cadrage|Revue de la proposition|Comité de pilotage|Rendez-vous sur site",
        "email": "Votre proposition|Compte rendu de notre échange|Devis actualisé|Documents demandés|Prochaines étapes",
        "message": "Message LinkedIn|SMS|WhatsApp",
        "attempt": "Appel sans réponse",
        "internal": "Préparation interne|Revue d'affaire interne",
        "task": "Préparer le devis|Envoyer la documentation|Relire le contrat",
        "no_show": "Rendez-vous manqué",
        "cancelled": "Rendez-vous annulé",
        "lunch": "Déjeuner",
    },
    "en": {
        "call": "Follow-up call|Discovery call|Pricing questions|Pilot check-in|Contract call",
        "meeting": "Product demo|Scoping workshop|Proposal review|Steering committee|On-site visit",
        "email": "Your proposal|Notes from our call|Updated quote|Documents you asked for|Next steps",
        "message": "LinkedIn message|SMS|WhatsApp",
        "attempt": "No answer",
        "internal": "Internal prep|Internal deal review",
        "task": "Prepare quote|Send documentation|Proofread contract",
        "no_show": "Missed meeting",
        "cancelled": "Cancelled meeting",
        "lunch": "Lunch",
    },
}
SUBJECTS = {lang: {kind: text.split("|") for kind, text in kinds.items()} for lang, kinds in SUBJECT.items()}
LOST = [
    "Budget reporté",
    "Concurrent moins cher",
    "Projet abandonné",
    "No budget this year",
    "Went with a competitor",
    "No decision",
]
# What a real CRM also holds: pasted text, emoji, right-to-left text, markup.
MESSY_TITLES = [
    "Suite au salon : reprise complète du dossier, comprenant l'audit des entrepôts, la formation des équipes de nuit, "
    "la reprise de l'historique depuis 2014, l'interface avec la paie et le transport, et une option sur l'entretien "
    "des terminaux (cf. courriel de mardi, à découper en deux affaires dès que le budget est voté) – {}",
    "🚀🔥 {} – big one!! 👩🏽‍💼🇫🇷",
    "عرض أسعار – توسعة المستودع – {}",
    "<script>alert('deal')</script> {}",
]

# Own people: first name, last name, team, active. The last one left the company.
COLLEAGUES = [
    ("Claire", "Montagnier", "Grands comptes", True),
    ("Hugo", "Lasserre", "Grands comptes", True),
    ("Sarah", "Kendrick", "Mid-market", True),
    ("Youssef", "Amrani", "Mid-market", True),
    ("Manon", "Treilhou", "Mid-market", True),
    ("David", "Pelletan", "Grands comptes", False),
]
OWN_NAME = "Boréal Solutions"
OWN_DOMAIN = "boreal-solutions.example"
PIPELINES = [
    (
        "Nouveaux clients",
        ["Qualification", "Découverte", "Démonstration", "Proposition", "Négociation", "Accord verbal"],
    ),
    ("Renouvellements", ["À préparer", "Contact pris", "Offre envoyée", "Négociation", "Signature"]),
]
