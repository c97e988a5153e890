package main

import (
	"encoding/json"
	"errors"
	"os"
)

// identity is what a conductor leaves in its data directory for the next process
// there. Instance is also in the session's key, so that the next one can tell
// whether the session it finds was that of this directory. Who has the lock on
// the directory then knows that the process behind that session is gone.
type identity struct {
	Host     string `json:"host"`    // --host
	Machine  string `json:"machine"` // a copy of the directory elsewhere proves nothing
	Instance string `json:"instance"`
}

func readIdentity(file string) (identity, error) {
	var id identity
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, err
	}
	_ = json.Unmarshal(text, &id) // an unreadable one proves nothing
	return id, nil
}

func writeIdentity(file string, id identity) error {
	text, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
