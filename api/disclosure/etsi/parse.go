package etsi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of what [Parse] reads.
const (
	MaxBytes = 16 << 20
	maxDepth = 16
	maxNodes = 1 << 20
)

// Parse reads a response as an importer does: by local name, whatever the
// namespace's version, and without relying on indentation. A document type
// declaration (and so any entity), another element than the encoder writes, one
// that stands twice where it may once, and anything beyond the limits are errors.
func Parse(text []byte) (Response, error) {
	r, err := parse(text)
	if err != nil {
		return Response{}, fmt.Errorf("parse response: %w", err)
	}
	return r, nil
}

func parse(text []byte) (Response, error) {
	var r Response
	root, err := tree(text)
	if err != nil {
		return r, err
	}
	if root.name != "retainedDataMessage" {
		return r, errors.New("the root is not retainedDataMessage")
	}
	p := reader{}
	p.only(root, "rdHeaderId", "retainedDataHeader", "retainedDataPayload")
	header := p.child(root, "retainedDataHeader")
	p.only(header, "requestID", "cSPID", "timeStamp")
	request := p.child(header, "requestID")
	p.only(request, "countryCode", "authorisedOrganisationID", "requestNumber")
	r.CountryCode, r.OrganisationID, r.RequestNumber = p.text(request, "countryCode"), p.text(request, "authorisedOrganisationID"), p.text(request, "requestNumber")
	r.CSPID, r.At = p.text(header, "cSPID"), p.time(header, "timeStamp")
	payload := p.child(root, "retainedDataPayload")
	p.only(payload, "responseMessage")
	message := p.child(payload, "responseMessage")
	p.only(message, "responseStatus", "responsePayload")
	r.Status = Status(p.choice(message, "responseStatus"))
	if !slices.Contains(statuses, r.Status) {
		p.fail("the status is unknown")
	}
	records := p.child(message, "responsePayload")
	if records == nil {
		return r, errors.New("there is no responsePayload")
	}
	for i, n := range records.children {
		if n.name != "ResponseRecord" {
			p.fail("%s is no ResponseRecord", n.name)
			break
		}
		p.only(n, "recordNumber", "recordPayload", "additionalInformation")
		if p.text(n, "recordNumber") != strconv.Itoa(i+1) {
			p.fail("records are not numbered from 1")
		}
		r.Records = append(r.Records, p.record(n))
	}
	return r, p.err
}

func (p *reader) record(n *node) Record {
	var r Record
	if payload := p.child(n, "recordPayload"); payload != nil {
		p.only(payload, "networkAccessRecord")
		access := p.child(payload, "networkAccessRecord")
		p.only(access, "naSubscriber", "naServiceUsage")
		switch subscriber, usage := p.child(access, "naSubscriber"), p.child(access, "naServiceUsage"); {
		case subscriber != nil && usage == nil:
			r.Subscriber = p.subscriber(subscriber)
		case usage != nil && subscriber == nil:
			r.Usage = p.usage(usage)
		default:
			p.fail("a networkAccessRecord is not one thing")
		}
	}
	if more := p.child(n, "additionalInformation"); more != nil {
		p.only(more, "otherInformation")
		r.Other = p.other(p.text(more, "otherInformation"))
	}
	return r
}

func (p *reader) subscriber(n *node) *Subscriber {
	p.only(n, "subscriberID", "genericSubscriberInfo", "subscription")
	s := Subscriber{ID: p.text(n, "subscriberID")}
	if info := p.child(n, "genericSubscriberInfo"); info != nil {
		p.only(info, "name")
		s.Name = p.text(info, "name")
	}
	subscription := p.child(n, "subscription")
	if subscription == nil {
		return &s
	}
	p.only(subscription, "NASubscription")
	na := p.child(subscription, "NASubscription")
	p.only(na, "validity", "naServiceID", "installationAddress")
	s.ServiceID = p.text(na, "naServiceID")
	if v := p.child(na, "validity"); v != nil {
		p.only(v, "startTime", "endTime")
		s.ValidFrom, s.ValidTo = p.time(v, "startTime"), p.time(v, "endTime")
	}
	if a := p.child(na, "installationAddress"); a != nil {
		p.only(a, "streetName", "buildingNumber", "postalCode", "city", "country")
		s.Installation = Address{Street: p.text(a, "streetName"), HouseNumber: p.text(a, "buildingNumber"),
			Postcode: p.text(a, "postalCode"), Town: p.text(a, "city"), Country: p.text(a, "country")}
	}
	return &s
}

func (p *reader) usage(n *node) *Usage {
	p.only(n, "naAccessTime", "naAuthID", "naStatus", "interval", "naDeviceId", "naNwElementID", "naAssignedAddress", "octetsDownloaded", "octetsUploaded")
	u := Usage{AccessTime: p.time(n, "naAccessTime"), AuthID: p.text(n, "naAuthID"), DeviceID: p.text(n, "naDeviceId"), ElementID: p.text(n, "naNwElementID"),
		OctetsDownloaded: p.number(n, "octetsDownloaded"), OctetsUploaded: p.number(n, "octetsUploaded")}
	if p.choice(n, "naStatus") != "succeeded" {
		p.fail("naStatus is not succeeded")
	}
	if i := p.child(n, "interval"); i != nil {
		p.only(i, "startTime", "endTime", "durationTime")
		u.Start, u.End = p.time(i, "startTime"), p.time(i, "endTime")
		if d := p.number(i, "durationTime"); d != nil && *d != uint64(u.End.Sub(u.Start)/time.Second) {
			p.fail("durationTime is not that of the interval")
		}
	}
	if a := p.child(n, "naAssignedAddress"); a != nil {
		p.only(a, "iPTextAddress")
		var err error
		if u.Address, err = netip.ParseAddr(p.text(a, "iPTextAddress")); err != nil {
			p.fail("iPTextAddress is no address")
		}
	}
	return &u
}

func (p *reader) other(text string) []Pair {
	var out []Pair
	last := -1
	for _, part := range strings.Split(text, ";") {
		key, value, ok := strings.Cut(part, `"="`)
		key, opened := strings.CutPrefix(key, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		rank := keyRank(key)
		if !ok || !opened || !closed || rank < last || rank < 0 || slices.ContainsFunc(out, func(q Pair) bool { return q.Key == key }) {
			p.fail("otherInformation cannot be read")
			return nil
		}
		last = rank
		out = append(out, Pair{key, unescape.Replace(value)})
	}
	return out
}

// node is an element: children, or text.
type node struct {
	name     string
	text     []byte
	children []*node
}

// tree reads well-formed XML within the limits.
func tree(text []byte) (*node, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("longer than %d bytes", MaxBytes)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	var root *node
	var open []*node
	for nodes := 0; ; {
		token, err := d.Token()
		if err == io.EOF {
			if root == nil {
				return nil, errors.New("empty")
			}
			return root, nil // Token reports what is left open as an error
		}
		if err != nil {
			return nil, errors.New("no well-formed XML")
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errors.New("a document type declaration is refused")
		case xml.StartElement:
			if nodes++; nodes > maxNodes || len(open) == maxDepth {
				return nil, errors.New("more or deeper elements than a response has")
			}
			n := &node{name: t.Name.Local}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.children = append(parent.children, n)
			} else if root != nil {
				return nil, errors.New("more than one root")
			} else {
				root = n
			}
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				top := open[len(open)-1]
				top.text = append(top.text, t...)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("text outside the root")
			}
		}
	}
}

// reader takes elements out of a tree and keeps the first error. A nil node has
// nothing.
type reader struct{ err error }

func (p *reader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// only refuses children that are not named, and text between them.
func (p *reader) only(n *node, names ...string) {
	if n == nil {
		p.fail("an element is missing")
		return
	}
	if len(bytes.TrimSpace(n.text)) > 0 {
		p.fail("%s has text between its elements", n.name)
	}
	seen := map[string]bool{}
	for _, c := range n.children {
		if seen[c.name] || !slices.Contains(names, c.name) {
			p.fail("%s has an element that does not belong there, or twice", n.name)
		}
		seen[c.name] = c.name != "ResponseRecord"
	}
}

func (p *reader) child(n *node, name string) *node {
	if n == nil {
		return nil
	}
	if i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name }); i >= 0 {
		return n.children[i]
	}
	return nil
}

func (p *reader) text(n *node, name string) string {
	c := p.child(n, name)
	if c == nil {
		return ""
	}
	if len(c.children) > 0 {
		p.fail("%s has elements in its text", name)
	}
	return string(c.text)
}

func (p *reader) choice(n *node, name string) string {
	c := p.child(n, name)
	if c == nil || len(c.children) != 1 || len(c.children[0].children) != 0 || len(c.children[0].text) != 0 {
		p.fail("%s is not one empty element", name)
		return ""
	}
	return c.children[0].name
}

func (p *reader) time(n *node, name string) time.Time {
	text := p.text(n, name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse("20060102150405.999999999-0700", text)
	if err != nil {
		p.fail("%s is no GeneralizedTime with an offset", name)
	}
	return at.UTC()
}

func (p *reader) number(n *node, name string) *uint64 {
	text := p.text(n, name)
	if text == "" {
		return nil
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.fail("%s is no number", name)
		return nil
	}
	return &v
}
