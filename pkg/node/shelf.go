package node

import (
	"slices"
	"strings"
)

// held is one record of a copy, or what is known of one that cannot be read.
type held struct {
	key     string
	record  Record
	corrupt *CorruptError
}

// shelf holds the records of one kind in order of their keys.
type shelf struct {
	items []*held
}

// shelved are the kinds of which there is a copy.
var shelved = append([]Kind{KindNode}, childKinds...)

func newShelves() map[Kind]*shelf {
	all := map[Kind]*shelf{}
	for _, kind := range shelved {
		all[kind] = &shelf{}
	}
	return all
}

// shelf answers where a key belongs; false for one of which there is no copy. A
// key that only lies there and is no record's belongs there too: a list names it.
func (k Keys) shelf(key string) (Kind, bool) {
	rest, ok := strings.CutPrefix(key, k.Root)
	if !ok {
		return "", false
	}
	for _, kind := range shelved {
		if strings.HasPrefix(rest, directories[kind]) {
			return kind, true
		}
	}
	return "", false
}

// at answers the place of a key, and whether it is taken.
func (s *shelf) at(key string) (int, bool) {
	return slices.BinarySearchFunc(s.items, key, func(h *held, key string) int { return strings.Compare(h.key, key) })
}

func (s *shelf) put(h *held) {
	i, found := s.at(h.key)
	if found {
		s.items[i] = h
	} else {
		s.items = slices.Insert(s.items, i, h)
	}
}

func (s *shelf) remove(key string) {
	if i, found := s.at(key); found {
		s.items = slices.Delete(s.items, i, i+1)
	}
}

// below answers the records whose keys have a prefix.
func (s *shelf) below(prefix string) []*held {
	from, _ := s.at(prefix)
	rest := s.items[from:]
	n, _ := slices.BinarySearchFunc(rest, prefix, func(h *held, prefix string) int {
		if strings.HasPrefix(h.key, prefix) {
			return -1
		}
		return 1
	})
	return rest[:n]
}

// pageOf reads a page from the copy. False: there is no copy.
func pageOf[R Record](c *Cache, q ListRequest[R]) (page *Page[R], ok bool, err error) {
	keys, kind := c.store.keys, kindOf[R]()
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.shelves[kind]
	if s == nil {
		return nil, false, nil
	}
	page = &Page[R]{Items: []R{}, Revision: c.rev, AsOf: c.proven, Cached: true}
	prefix := keys.all(kind)
	if q.Node != "" {
		prefix = keys.child(kind, q.Node, "")
	}
	items := s.below(prefix)
	if q.Marker != "" {
		if items, err = after(keys, items, q, kind); err != nil {
			return nil, true, err
		}
	}
	for i, h := range items {
		take(page, q.Match, h.record, h.corrupt)
		if q.Limit > 0 && len(page.Items) == q.Limit {
			if i < len(items)-1 {
				page.Next = page.Items[q.Limit-1].ID()
			}
			break
		}
	}
	return page, true, nil
}

// after leaves out what a list does not want before its marker.
func after[R Record](keys Keys, items []*held, q ListRequest[R], kind Kind) ([]*held, error) {
	s := &shelf{items}
	if kind.child() && q.Node == "" {
		i := slices.IndexFunc(items, func(h *held) bool { return h.record != nil && h.record.ID() == q.Marker })
		if i < 0 {
			return nil, notFound[R](q.Marker)
		}
		return items[i+1:], nil
	}
	i, found := s.at(keys.child(kind, q.Node, q.Marker))
	if found {
		i++
	}
	return items[i:], nil
}
