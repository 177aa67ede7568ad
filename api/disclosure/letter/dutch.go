package letter

import "griffier/api/reason"

var dutch = vocabulary{
	tag:      "nl",
	weekdays: [7]string{"zondag", "maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag"},
	months:   [12]string{"januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december"},
	winter:   "wintertijd", summer: "zomertijd",
	until: " tot ", inclusive: ", beide inbegrepen", exclusive: ", niet inbegrepen",

	department:   "Verstrekking van verkeers- en gebruikersgegevens op vordering",
	confidential: "VERTROUWELIJK. Uitsluitend bestemd voor de hieronder genoemde autoriteit.",
	pageOf:       "bladzijde %d van %d",
	to:           "Aan", attention: "Ter attentie van", yourReference: "Uw kenmerk", legalBasis: "Grondslag",
	ourCase: "Ons dossier", ourTask: "Onze opdracht", ledger: "Verstrekkingenregister", ledgerEntry: "inschrijving %d (het voornemen, vóór er iets werd gelezen)", date: "Bevraagd en gedagtekend",
	titlePositive: "Antwoord op uw vordering", titleNegative: "Negatieve verklaring", titlePreserved: "Verklaring van bevriezing",
	titleCorrection: "Verbetering van een eerder antwoord",
	correction:      "Dit antwoord komt in de plaats van een eerder antwoord",
	correctionText:  "Het eerdere antwoord was onjuist en mag niet worden gebruikt. Het betreft het pakket met SHA-256 %s.",

	questionHead: "Wat is gevraagd",
	questions: map[string]string{
		"":             "U vroeg naar het volgende.",
		"ATTRIBUTION":  "Welke aansluiting had het onderstaande adres op het onderstaande tijdstip?",
		"IDENTITY":     "Van wie is de onderstaande aansluiting op het onderstaande tijdstip?",
		"HISTORY":      "Welke adressen had de onderstaande aansluiting in de onderstaande periode?",
		"TIME":         "Wanneer was de onderstaande aansluiting verbonden in de onderstaande periode?",
		"VOLUME":       "Hoeveel gegevens gingen over de onderstaande aansluiting in de onderstaande periode?",
		"PRESERVATION": "Bevries wat er over het onderstaande is, in de onderstaande periode. Hiermee wordt niets verstrekt.",
	},
	target: "Doel", port: "Bronpoort", protocol: "Protocol", entered: "Tijdstip volgens uw vordering", enteredEnd: "Einde van de periode volgens uw vordering",
	inUTC: "Begrepen als, UTC", inLocal: "Begrepen als, plaatselijke tijd",
	margin: "Onzekerheid", marginText: "%s s volgens uw opgave en %s s voor de klokken van de aanbieder, aan beide zijden",
	interval: "Doorzocht tijdvak",

	answerHead: "Wat het antwoord is", code: "Antwoordcode", otherProvider: "Andere aanbieder", sharing: "Aansluitingen die het delen (klasse)",
	hold: "Nummer van de bevriezing", heldUntil: "Bewaard tot",
	answers: map[reason.Reason]answerWords{
		reason.Match: {"Gevonden.", "De onderstaande gegevens zijn alles wat is gevonden. Een genoemde aansluiting had het gevraagde gedurende het hele tijdvak, of gedurende het deel van de periode dat het gegeven noemt."},
		reason.NoMatch: {"Er is geen gegeven voorhanden.", "Het adres is van de aanbieder en het hele tijdvak is waargenomen, maar er is geen gegeven voorhanden van een aansluiting die het had. " +
			"Gegevens die op verzoek van een betrokkene zijn gewist, laten niets na. Vergelijk adres en tijdstip met uw vordering."},
		reason.RetentionElapsed:   {"De gegevens worden niet meer bewaard.", "Gegevens van dat tijdstip zijn niet langer bewaard dan de wet toelaat en bestaan niet meer. Zij zijn niet terug te halen."},
		reason.NotOurRange:        {"Geen adres van deze aanbieder.", "Op dat tijdstip viel het adres niet binnen een reeks van deze aanbieder. Het regionale internetregister weet van wie het is."},
		reason.CoverageGap:        {"Dit is niet te zeggen: de waarneming was onderbroken.", "Geen waarnemer van die reeks heeft het hele tijdvak gezien met een klok die gelijk werd gehouden. Dat er niets is gevonden bewijst niets: dit is geen verklaring dat er geen abonnee was."},
		reason.PortRequired:       {"Dit is niet te zeggen zonder de bronpoort.", "Verscheidene aansluitingen deelden het adres tegelijk. Noem de bronpoort en het protocol zoals die op dat tijdstip zijn vastgelegd."},
		reason.AmbiguousBoundary:  {"Dit is niet te zeggen: het adres wisselde binnen het tijdvak.", "Meer dan één aansluiting, of een aansluiting en geen, had het adres binnen het tijdvak. Noem een nauwkeuriger tijdstip of een tweede waarneming."},
		reason.AmbiguousPortReuse: {"Dit is niet te zeggen: de poort diende voor verscheidene aansluitingen.", "De adresvertaler had dezelfde openbare poort op dat tijdstip aan verscheidene aansluitingen gegeven. Een tweede waarneming kan uitsluitsel geven."},
		reason.DataConflict:       {"Dit is niet te zeggen: de gegevens spreken elkaar tegen.", "Op tegenstrijdige gegevens, of als de abonnee in geen register staat, wordt niets verstrekt. De aanbieder zoekt dit uit."},
		reason.OtherProvider:      {"Een andere aanbieder gebruikte het adres.", "Op dat tijdstip werd de reeks gebruikt door de hier genoemde aanbieder. Richt uw vordering tot die aanbieder."},
		reason.Preserved:          {"Wat er was, is bevroren.", "Het wordt verzegeld bewaard tot het onderstaande tijdstip en dan vernietigd. Om het te lezen is een afzonderlijke vordering nodig."},
		reason.DataNotHeld:        {"De bevriezing bevat dit niet.", "De genoemde bevriezing bestaat niet, is geëindigd, of betreft niet dat doel op dat tijdstip. Wat eindigde, is vernietigd."},
	},
	oneLine: answerWords{"Precies één aansluiting.", "Eén aansluiting had het adres, en de poort als die is genoemd, gedurende het hele doorzochte tijdvak."},
	ofRegister: map[reason.Reason]answerWords{
		reason.NoMatch: {"Het register kent zo'n aansluiting niet.", "Op dat tijdstip kende het aansluitingenregister van de aanbieder er geen onder wat u noemde; iets anders is niet bevraagd. " +
			"Alleen wat precies gelijk is, wordt gevonden: vergelijk het doel, letter voor letter, en het tijdstip met uw vordering. Gegevens die op verzoek van een betrokkene zijn gewist, laten niets na."},
		reason.AmbiguousBoundary: {"Dit is niet te zeggen: het wisselde binnen het tijdvak.", "Wat u noemde was binnen het tijdvak van meer dan één aansluiting, of van één en van geen, of een contract begon of eindigde. " +
			"Noem een nauwkeuriger tijdstip of een tweede waarneming."},
	},
	ofWindow: map[reason.Reason]answerWords{
		reason.NoMatch: {"Er is geen gegeven voorhanden.", "In die periode kende het register geen aansluiting onder wat u noemde, of wel een en is er niets van vastgelegd terwijl elke waarnemer van de aanbieder waarnam. " +
			"Vergelijk het doel, letter voor letter, en de periode met uw vordering. Gegevens die op verzoek van een betrokkene zijn gewist, laten niets na."},
		reason.CoverageGap: {"Dit is niet te zeggen: de waarneming was onderbroken.", "Er is niets vastgelegd, en in een deel van de periode nam een waarnemer van de aanbieder niet waar, of niet met een klok die gelijk werd gehouden. " +
			"Dat er niets is gevonden bewijst niets: dit is geen verklaring dat er niets was."},
	},
	incompleteTitle: "Het antwoord is mogelijk onvolledig", incomplete: "Er kunnen gegevens ontbreken.",
	neighbourTitle: "Let op het tijdvak",
	neighbour: "Een andere aansluiting had hetzelfde adres kort vóór of na het tijdvak. Wijkt het waargenomen tijdstip meer af dan de onzekerheid hierboven, " +
		"dan is het antwoord een andere aansluiting. Vergelijk het met andere waarnemingen voordat u ernaar handelt.",

	recordHead:       "Gegeven %d van %d",
	installationRole: "INSTALLATIEADRES: waar de aansluiting is. Het is geen factuuradres; dat wordt niet verstrekt.",
	moreRecords:      "Nog %d van de %d gegevens staan in records.csv en response.xml.",
	labels: map[string]string{
		"task_id": "Opdracht", "address": "Adres", "port": "Bronpoort", "protocol": "Protocol (IANA-nummer)", "instant_utc": "Tijdstip",
		"line_id": "Aansluiting", "held_prefix": "In gebruik bij de aansluiting", "attribution_source": "Bron van het gegeven", "attribution_certainty": "Zekerheid van het gegeven",
		"subscriber_of_line_name": "Abonnee van de aansluiting", "installation_street": "Installatie: straat", "installation_house_number": "Installatie: huisnummer",
		"installation_postcode": "Installatie: postcode", "installation_town": "Installatie: plaats", "installation_country": "Installatie: land",
		"held_port_first": "Eerste poort", "held_port_last": "Laatste poort", "held_protocol": "Protocol (IANA-nummer)",
		"held_from_utc": "In gebruik vanaf", "held_until_utc": "In gebruik tot, niet inbegrepen", "held_beyond_window": "Loopt buiten de periode door", "held_source": "Bron van het gegeven", "held_certainty": "Zekerheid van het gegeven",
		"connected_from_utc": "Verbonden vanaf", "connected_until_utc": "Verbonden tot, niet inbegrepen", "connected_beyond_window": "Loopt buiten de periode door",
		"connection_end_cause": "Reden van het einde", "connection_certainty": "Zekerheid van het gegeven",
		"volume_from_utc": "Geteld vanaf", "volume_until_utc": "Geteld tot, niet inbegrepen", "volume_direction": "Richting, gezien vanaf de aansluiting", "volume_bytes": "Bytes (IP)",
		"volume_packets": "Pakketten", "volume_counted_by": "Geteld door",
	},

	searchedHead: "Wat is doorzocht", askedHold: "Bevraagde bevriezing", retention: "Geldende bewaartermijn", retentionThen: "Bewaartermijn bij de bevriezing",
	retentionNone: "van deze klasse mag niets worden gelezen", retentionText: "%s (%s): leesbaar vanaf %s",
	coverage: "Waarneming", covered: "in het tijdvak, per waarnemer:", uncovered: "geen: geen waarnemer heeft over het tijdvak gerapporteerd",
	synced: "klok gelijkgezet", unsynced: "KLOK NIET GELIJKGEZET",
	states: map[string]string{"covered": "waargenomen", "gap": "ONDERBROKEN"},
	searchedWords: map[string]string{
		"ranges of the provider and of others that use them, at the interval":                                                           "reeksen van de aanbieder, en van anderen die ze gebruiken, in het tijdvak",
		"coverage by the collectors listed for the range, over the whole interval":                                                      "de waarneming door de waarnemers van de reeks, over het hele tijdvak",
		"assignments of the address and of every prefix around it, that touch the interval":                                             "toekenningen van het adres, en van elk voorvoegsel eromheen, die het tijdvak raken",
		"lines of the pseudonyms found, at the interval":                                                                                "de aansluitingen bij de gevonden pseudoniemen, in het tijdvak",
		"where a translator shared the address: the same four of each inside address that had the port":                                 "waar een adresvertaler het adres deelde: deze vier ook van elk intern adres dat de poort had",
		"the hold that is named, as it was sealed: ranges, coverage, lines and the rows of the category that is asked, in the interval": "de genoemde bevriezing, zoals zij is verzegeld: reeksen, waarneming, aansluitingen en de rijen van de gevraagde categorie, in het tijdvak",
		"the register of lines: which had the target, and whose they were, at the interval":                                             "het register van aansluitingen: welke het doel had, en van wie die was, in het tijdvak",
		"the register of lines: which had the target, and by what pseudonyms, in the interval":                                          "het register van aansluitingen: welke het doel had, en onder welke pseudoniemen, in het tijdvak",
		"what is kept of those pseudonyms of the category that is asked, in the interval":                                               "wat van die pseudoniemen in de gevraagde categorie wordt bewaard, in het tijdvak",
		"coverage by all collectors of the provider, over the whole interval":                                                           "de waarneming door alle waarnemers van de aanbieder, over het hele tijdvak",
		"ranges of the provider and of others that use them, in the interval":                                                           "reeksen van de aanbieder, en van anderen die ze gebruiken, in het tijdvak",
		"where a translator shared the address: of each inside address that had the port too":                                           "waar een adresvertaler het adres deelde: ook van elk intern adres dat de poort had",
	},

	disclaimerTitle: "Wat dit antwoord niet zegt",
	disclaimer: "Het antwoord noemt de abonnee van de aansluiting, nooit de gebruiker ervan. Wie de aansluiting op dat tijdstip gebruikte, is de aanbieder niet bekend. " +
		"Het is geen verklaring dat de abonnee iets heeft gedaan.",
	authenticity: "Deze brief is opgemaakt door een programma en behoeft geen handtekening. Hij hoort bij een pakket dat is ondertekend en ingeschreven in een register " +
		"dat achteraf niet te wijzigen is; `griffier verify` controleert het geheel. Zonder het pakket bewijst de brief niets.",
	unshown: "Een code als [U+0141] staat voor een teken dat het lettertype van deze brief niet heeft. records.csv heeft het zoals het is geregistreerd.",
}
