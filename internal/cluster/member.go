package cluster

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// The states of a member.
const (
	Active   = "active"   // takes new work
	Draining = "draining" // finishes its work and takes none
)

// Member is a live conductor, as its session's key tells.
type Member struct {
	Host     string
	Session  string
	State    string // Active or Draining; what is neither counts as Active
	Since    time.Time
	TTL      time.Duration // how long its locks outlive it
	Group    string        // conductor group whose nodes it looks after
	Drivers  []string      // hardware types; none: it did not say, and is taken to have all
	API      string        // base URL, empty if it did not say
	Version  string
	Instance string // of the process
	Epoch    int64  // revision at which the session began
}

// decode reads a session's key. What a value does not tell is left empty: the
// key alone says that somebody lives.
func decode(prefix string, kv *mvccpb.KeyValue) Member {
	var v struct {
		Session string    `json:"session"`
		Since   time.Time `json:"since"`
		TTL     string    `json:"ttl"`
		State   string    `json:"state"`
		Info    struct {
			Group    string   `json:"conductor_group"`
			Drivers  []string `json:"drivers"`
			API      string   `json:"api"`
			Version  string   `json:"version"`
			Instance string   `json:"instance"`
		} `json:"info"`
	}
	_ = json.Unmarshal(kv.Value, &v) // written by hand, perhaps
	ttl, _ := time.ParseDuration(v.TTL)
	return Member{
		Host: strings.TrimPrefix(string(kv.Key), prefix), Session: v.Session, State: v.State, Since: v.Since, TTL: ttl,
		Group: strings.ToLower(v.Info.Group), Drivers: v.Info.Drivers, API: v.Info.API, Version: v.Info.Version,
		Instance: v.Info.Instance, Epoch: kv.CreateRevision,
	}
}

// Serves says whether the member is one for nodes of a hardware type in a
// conductor group, whether or not it takes new work.
func (m Member) Serves(group, driver string) bool {
	return m.Group == strings.ToLower(group) && m.Has(driver)
}

// Has says whether the member has a hardware type.
func (m Member) Has(driver string) bool {
	return len(m.Drivers) == 0 || slices.Contains(m.Drivers, driver)
}
