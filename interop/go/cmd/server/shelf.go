package main

import (
	"sync"

	"grpcfd-interop/internal/sample"
)

// A shelf keeps the sets of the latest calls, so many at the most. A client examines what it received after its call has ended, when the
// server knows of it no more; so a set must outlive its call by as many calls as clients make meanwhile.
type shelf struct {
	size  int
	mutex sync.Mutex
	sets  []*sample.Set
}

func (s *shelf) newSet() (*sample.Set, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.sets) >= s.size {
		if err := s.sets[0].Close(); err != nil {
			return nil, err
		}
		s.sets = s.sets[1:]
	}
	set, err := sample.NewSet()
	if err != nil {
		return nil, err
	}
	s.sets = append(s.sets, set)
	return set, nil
}

func (s *shelf) clear() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, set := range s.sets {
		_ = set.Close()
	}
	s.sets = nil
}
