package schema

// What the tests of package schema_test, which ask the api's own questions, take
// from those of package schema.
var (
	NewStore            = newStore
	NewDistributedStore = newDistributedStore
	SetPolicy           = setPolicy
	Today               = today
	Tables              = tables
)

// RolesOf is rolesOf: how to become a role of a store with rows in it.
var RolesOf = rolesOf
