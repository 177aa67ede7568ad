// Package griffierv1 is the generated form of Griffier's gRPC API. The .proto
// files beside it are the contract; griffierd's access interceptor reads the
// access rule of every rpc from them.
package griffierv1

//go:generate protoc -I ../.. -I /usr/include --go_out=../.. --go_opt=paths=source_relative --go-grpc_out=../.. --go-grpc_opt=paths=source_relative griffier/v1/access.proto griffier/v1/usage.proto griffier/v1/support.proto griffier/v1/warrant.proto griffier/v1/disclosure.proto griffier/v1/hold.proto griffier/v1/ledger.proto griffier/v1/register.proto griffier/v1/retention.proto griffier/v1/expiry.proto griffier/v1/enrolment.proto griffier/v1/statistics.proto griffier/v1/subject.proto griffier/v1/backup.proto griffier/v1/oversight.proto griffier/v1/intake.proto griffier/v1/authority.proto griffier/v1/legalbasis.proto griffier/v1/package.proto
