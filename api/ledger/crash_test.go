package ledger

const childEnv = "GRIFFIER_LEDGER_TEST_CHILD"

func child() {}
