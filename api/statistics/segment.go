package statistics

import (
	"errors"
	"fmt"
)

// Segment is a part of the access network: what some collectors serve. Segments
// of one region are merged with each other before they are merged with others.
type Segment struct {
	Name       string   `yaml:"name"`
	Region     string   `yaml:"region"` // empty: the whole network is one
	Collectors []string `yaml:"collectors"`
}

// Segments tells which segment a collector is of. The zero value makes every
// collector a segment of its own name, in one region.
type Segments struct {
	of     map[string]string
	region map[string]string
}

// NewSegments checks the list: names and collectors are unique, and no segment
// is named after a collector that is not listed, which would be a segment by
// itself.
func NewSegments(list []Segment) (Segments, error) {
	s := Segments{of: map[string]string{}, region: map[string]string{}}
	var errs []error
	for i, seg := range list {
		if seg.Name == "" || len(seg.Collectors) == 0 {
			errs = append(errs, fmt.Errorf("statistics.segments[%d]: name and collectors are required", i))
			continue
		}
		if _, twice := s.region[seg.Name]; twice {
			errs = append(errs, fmt.Errorf("statistics.segments[%d]: %q is there twice", i, seg.Name))
		}
		s.region[seg.Name] = seg.Region
		for _, id := range seg.Collectors {
			if other, taken := s.of[id]; taken {
				errs = append(errs, fmt.Errorf("statistics.segments[%d]: collector %q is in segment %q already", i, id, other))
			}
			s.of[id] = seg.Name
		}
	}
	for name := range s.region {
		if of, listed := s.of[name]; listed && of != name {
			errs = append(errs, fmt.Errorf("statistics.segments: %q is a segment and a collector of segment %q", name, of))
		}
	}
	return s, errors.Join(errs...)
}

// Of returns the segment of a collector.
func (s Segments) Of(collector string) string {
	if name, ok := s.of[collector]; ok {
		return name
	}
	return collector
}

// Region returns the region of a segment.
func (s Segments) Region(segment string) string { return s.region[segment] }
