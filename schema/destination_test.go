package schema

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	griffierv1 "griffier/proto/griffier/v1"
)

// farSide are the words by which a place for a destination would be called.
var farSide = []string{
	"dst", "dest", "destination", "destinations", "remote", "far", "peer", "url", "uri", "dns", "host", "hostname",
	"sni", "domain", "qname", "payload", "website", "visited", "server",
}

// namesFarSide reports whether a field or column is called after a destination.
func namesFarSide(name string) bool {
	var words strings.Builder // snake and camel case both become words
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			words.WriteByte('_')
		}
		words.WriteRune(unicode.ToLower(r))
	}
	joined := strings.ReplaceAll(strings.ToLower(name), "_", "")
	for _, word := range strings.Split(words.String(), "_") {
		if slices.Contains(farSide, word) {
			return true
		}
	}
	for _, prefix := range []string{"dst", "dest", "remote", "url", "dns"} {
		if strings.HasPrefix(joined, prefix) && !strings.HasPrefix(joined, "destroy") {
			return true
		}
	}
	return false
}

func TestNamesFarSide(t *testing.T) {
	for name, want := range map[string]bool{
		"dst_address": true, "DestinationIP": true, "RemoteAddr": true, "dstport": true, "dns_name": true, "url": true,
		"tls_sni": true, "http_host": true, "prefix_address": false, "started_at": false, "house_number": false, "EndCause": false, "destroyed": false,
	} {
		if got := namesFarSide(name); got != want {
			t.Errorf("namesFarSide(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestNoColumnForADestination holds the product to what it says of itself: what
// a subscriber talks to has no place in the store, the records or the API.
func TestNoColumnForADestination(t *testing.T) {
	ctx, conn, _ := newStore(t)
	rows, err := conn.Query(ctx, "SELECT concat(database, '.', table), name FROM system.columns WHERE database IN ('traffic', 'register', 'statistics')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns := make(map[string][]string)
	for rows.Next() {
		var table, name string
		if err := rows.Scan(&table, &name); err != nil {
			t.Fatal(err)
		}
		columns[table] = append(columns[table], name)
		if namesFarSide(name) {
			t.Errorf("column %s.%s is a place for a destination", table, name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(columns) != 22 {
		t.Errorf("looked at %d tables and views, want 22", len(columns))
	}

	for _, record := range []Record{&Session{}, &Assignment{}, &Usage{}, &UsageDay{}, &Coverage{}, &AccessLogEntry{}} {
		view := columns["traffic."+string(record.Kind())]
		for field := range reflect.TypeOf(record).Elem().Fields() {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if namesFarSide(field.Name) || namesFarSide(tag) {
				t.Errorf("field %s of %s is a place for a destination", field.Name, record.Kind())
			}
			if tag == "prefix" {
				tag = "prefix_address" // and prefix_length
			}
			if tag == "withdrawn" {
				tag = "version" // the view shows what is not
			}
			if !slices.Contains(view, tag) {
				t.Errorf("field %s of %s has no column %q", field.Name, record.Kind(), tag)
			}
		}
	}

	fields := 0
	var walk func(protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			message := messages.Get(i)
			for j := range message.Fields().Len() {
				fields++
				if name := message.Fields().Get(j).Name(); namesFarSide(string(name)) {
					t.Errorf("field %s.%s is a place for a destination", message.FullName(), name)
				}
			}
			walk(message.Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage(griffierv1.File_griffier_v1_usage_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		walk(file.Messages())
		return true
	})
	if fields < 50 {
		t.Errorf("looked at %d fields of the API, want all of them", fields)
	}
}
