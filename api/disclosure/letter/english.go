package letter

import "griffier/api/reason"

var english = vocabulary{
	tag:      "en",
	weekdays: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	months:   [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	winter:   "standard time", summer: "summer time",
	until: " to ", inclusive: ", both inclusive", exclusive: ", exclusive",

	department:   "Disclosure of traffic and subscriber data under a legal order",
	confidential: "CONFIDENTIAL. Only for the authority that is named below.",
	pageOf:       "page %d of %d",
	to:           "To", attention: "For the attention of", yourReference: "Your reference", legalBasis: "Legal basis",
	ourCase: "Our case", ourTask: "Our task", ledger: "Register of disclosures", ledgerEntry: "entry %d (the intent, before anything was read)", date: "Asked and dated",
	titlePositive: "Answer to your order", titleNegative: "Negative certificate", titlePreserved: "Certificate of preservation",
	titleCorrection: "Correction of an earlier answer",
	correction:      "This answer takes the place of an earlier one",
	correctionText:  "The earlier answer was wrong and must not be relied on. It is the package with SHA-256 %s.",

	questionHead: "What was asked",
	questions: map[string]string{
		"":             "You asked about the following.",
		"ATTRIBUTION":  "Which line held the address below at the instant below?",
		"IDENTITY":     "Whose line is the one below, at the instant below?",
		"HISTORY":      "Which addresses did the line below hold, in the window below?",
		"TIME":         "When was the line below connected, in the window below?",
		"VOLUME":       "How much data did the line below carry, in the window below?",
		"PRESERVATION": "Preserve what there is about the target below, in the window below. Nothing of it is disclosed by this.",
	},
	target: "Target", port: "Source port", protocol: "Protocol", entered: "Time as in your order", enteredEnd: "Window's end as in your order",
	inUTC: "Understood as, UTC", inLocal: "Understood as, local time",
	margin: "Uncertainty", marginText: "%s s as you stated, and %s s for the provider's clocks, on both sides",
	interval: "Interval searched",

	answerHead: "What the answer is", code: "Answer code", otherProvider: "Other provider", sharing: "Lines that share it (band)",
	hold: "Number of the hold", heldUntil: "Preserved until",
	answers: map[reason.Reason]answerWords{
		reason.Match: {"Found.", "The records below are all that was found. A line that is named had what was asked about during the whole interval, or during the part of the window that its record states."},
		reason.NoMatch: {"No record is held.", "The address is the provider's and its collectors saw the whole interval, but no record is held of a line that had it. " +
			"Records erased at a person's request leave none. Check the address and the instant against your order."},
		reason.RetentionElapsed:   {"The data is no longer held.", "Data of that instant was kept no longer than the law allows, and is gone. It cannot be brought back."},
		reason.NotOurRange:        {"Not an address of this provider.", "At that instant the address was in no range of this provider. The regional internet registry knows whose it is."},
		reason.CoverageGap:        {"It cannot be said: there was a gap in collection.", "No collector of that range saw the whole interval by a clock that was kept. That nothing is found proves nothing: this is no statement that there was no subscriber."},
		reason.PortRequired:       {"It cannot be said without the source port.", "Several lines shared the address at once. State the source port and the protocol, as they were logged at that instant."},
		reason.AmbiguousBoundary:  {"It cannot be said: the address changed hands within the interval.", "More than one line, or a line and none, held the address within the interval. State a more exact instant, or a second observation."},
		reason.AmbiguousPortReuse: {"It cannot be said: the port was used for several lines.", "The address translator had given the same public port to several lines at that instant. A second observation may decide."},
		reason.DataConflict:       {"It cannot be said: the records contradict each other.", "Nothing is disclosed on contradictory records, or where the subscriber is in no register. The provider looks into it."},
		reason.OtherProvider:      {"Another provider used the address.", "At that instant the range was used by the provider that is named here. Address your order to it."},
		reason.Preserved:          {"What there was is preserved.", "It is kept sealed until the instant below, when it is destroyed. To read it you need a production order of its own."},
		reason.DataNotHeld:        {"The hold does not have it.", "The hold that was named does not exist, has ended, or is not of that target at that instant. What ended was destroyed."},
	},
	oneLine: answerWords{"Exactly one line.", "One line had the address, and the port if one is stated, during the whole interval that was searched."},
	ofRegister: map[reason.Reason]answerWords{
		reason.NoMatch: {"The register has no such line.", "At that instant the provider's register of lines knew none under what you named; nothing else was asked. Only what is exactly the same is found: " +
			"compare the target, letter by letter, and the instant with your order. Records erased at a person's request leave none."},
		reason.AmbiguousBoundary: {"It cannot be said: it changed within the interval.", "What you named was of more than one line, or of a line and none, within the interval, or a contract began or ended. " +
			"State a more exact instant, or a second observation."},
	},
	ofWindow: map[reason.Reason]answerWords{
		reason.NoMatch: {"No record is held.", "In that window the register knew no line under what you named, or it knew one and nothing is recorded of it while every collector of the provider was looking. " +
			"Compare the target, letter by letter, and the window with your order. Records erased at a person's request leave none."},
		reason.CoverageGap: {"It cannot be said: there was a gap in collection.", "Nothing is recorded, and in a part of the window a collector of the provider was not looking, or not by a clock that was kept. " +
			"That nothing is found proves nothing: this is no statement that there was nothing."},
	},
	incompleteTitle: "The answer may be incomplete", incomplete: "Records may be missing.",
	neighbourTitle: "Mind the interval",
	neighbour: "Another line held the same address shortly before or after the interval. If the observed time is wrong by more than the " +
		"uncertainty above, the answer is another line. Compare it with further observations before you act on it.",

	recordHead:       "Record %d of %d",
	installationRole: "INSTALLATION ADDRESS: where the line is. It is not a billing address, and none is disclosed.",
	moreRecords:      "%d more of the %d records are in records.csv and response.xml.",
	labels: map[string]string{
		"task_id": "Task", "address": "Address", "port": "Source port", "protocol": "Protocol (IANA number)", "instant_utc": "Instant",
		"line_id": "Line", "held_prefix": "Held by the line", "attribution_source": "Source of the record", "attribution_certainty": "Certainty of the record",
		"subscriber_of_line_name": "Subscriber of the line", "installation_street": "Installation: street", "installation_house_number": "Installation: number",
		"installation_postcode": "Installation: postcode", "installation_town": "Installation: town", "installation_country": "Installation: country",
		"held_port_first": "First port", "held_port_last": "Last port", "held_protocol": "Protocol (IANA number)",
		"held_from_utc": "Held from", "held_until_utc": "Held until, exclusive", "held_beyond_window": "Goes on outside the window", "held_source": "Source of the record", "held_certainty": "Certainty of the record",
		"connected_from_utc": "Connected from", "connected_until_utc": "Connected until, exclusive", "connected_beyond_window": "Goes on outside the window",
		"connection_end_cause": "Why it ended", "connection_certainty": "Certainty of the record",
		"volume_from_utc": "Counted from", "volume_until_utc": "Counted until, exclusive", "volume_direction": "Direction, seen from the line", "volume_bytes": "Bytes (IP)",
		"volume_packets": "Packets", "volume_counted_by": "Counted by",
	},

	searchedHead: "What was searched", askedHold: "Hold that was asked", retention: "Retention in force", retentionThen: "Retention at the hold",
	retentionNone: "nothing of the class may be read", retentionText: "%s (%s): readable from %s",
	coverage: "Coverage", covered: "in the interval, by collector:", uncovered: "none: no collector reported for the interval",
	synced: "clock synchronised", unsynced: "CLOCK NOT SYNCHRONISED",

	disclaimerTitle: "What this answer does not say",
	disclaimer: "The answer names the subscriber of the line, never the user of it. Who used the line at that instant is not known to the provider. " +
		"It is no statement that the subscriber did anything.",
	authenticity: "This letter was drawn up by a program and needs no signature by hand. It is a file of a package that is signed and entered in a " +
		"register that cannot be changed afterwards; `griffier verify` checks the whole of it. Without the package the letter proves nothing.",
	unshown: "A code such as [U+0141] stands for a character that this letter's type does not have. records.csv has it as it was registered.",
}
