package server

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	griffierv1 "griffier/proto/griffier/v1"
)

// healthService is the one service that is not ours and so cannot carry our option.
const healthService = "grpc.health.v1.Health"

// rules maps full method names (/package.Service/Method) to their access rule.
type rules map[string]*griffierv1.Access

// rulesOf reads the rule of every registered rpc from its proto option. An rpc
// without a rule, without a role or without an audit class is an error: the
// server does not start with it.
func rulesOf(services map[string]grpc.ServiceInfo) (rules, error) {
	out := rules{}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		for _, method := range services[name].Methods {
			full := "/" + name + "/" + method.Name
			if name == healthService {
				out[full] = &griffierv1.Access{Roles: []griffierv1.Role{griffierv1.Role_ROLE_ANYONE}, Audit: griffierv1.Audit_AUDIT_NONE}
				continue
			}
			rule, err := ruleOf(protoreflect.FullName(name), protoreflect.Name(method.Name))
			if err != nil {
				return nil, err
			}
			out[full] = rule
		}
	}
	return out, nil
}

func ruleOf(service protoreflect.FullName, method protoreflect.Name) (*griffierv1.Access, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(service.Append(method))
	if err != nil {
		return nil, fmt.Errorf("rpc %s/%s: no descriptor: %w", service, method, err)
	}
	options, _ := d.Options().(*descriptorpb.MethodOptions)
	rule, _ := proto.GetExtension(options, griffierv1.E_Access).(*griffierv1.Access)
	if rule == nil || len(rule.GetRoles()) == 0 || slices.Contains(rule.GetRoles(), griffierv1.Role_ROLE_UNSPECIFIED) {
		return nil, fmt.Errorf("rpc %s/%s: no access rule: give it option (griffier.v1.access) with roles", service, method)
	}
	if rule.GetAudit() == griffierv1.Audit_AUDIT_UNSPECIFIED {
		return nil, fmt.Errorf("rpc %s/%s: no audit class: give its option (griffier.v1.access) one", service, method)
	}
	anyone := slices.Contains(rule.GetRoles(), griffierv1.Role_ROLE_ANYONE)
	audited := rule.GetAudit() != griffierv1.Audit_AUDIT_NONE && rule.GetAudit() != griffierv1.Audit_AUDIT_LEDGER_ACT
	if anyone && (len(rule.GetRoles()) > 1 || audited || rule.GetStepUp()) {
		return nil, fmt.Errorf("rpc %s/%s: open to anyone, so it can have neither other roles nor an audit class but its own act nor step-up", service, method)
	}
	return rule, nil
}
