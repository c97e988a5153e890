package lease

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// EventTypeBroken is the type of the event that a break leaves under events/.
const EventTypeBroken = "conductor.lock.broken"

// brokenEvent is a break among the events of a name. Its fields, and their order, are those of the
// events that tasks write there: who reads them wants one form.
type brokenEvent struct {
	ID        string    `json:"id"` // UUID version 7, so that keys are in order of time
	Type      string    `json:"type"`
	Level     string    `json:"level"`
	At        time.Time `json:"at"`
	Publisher string    `json:"publisher,omitempty"`
	Name      string    `json:"node"`
	Holder    string    `json:"holder,omitempty"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since,omitzero"`
	Purpose   string    `json:"purpose,omitempty"`
	Task      string    `json:"task,omitempty"`
	By        string    `json:"user"`
}

// tell is the write that keeps the event of a break.
func (l Locks) tell(keys layout, e Entry, b Break) (clientv3.Op, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("event id: %w", err)
	}
	value, err := json.Marshal(brokenEvent{
		ID: id.String(), Type: EventTypeBroken, Level: "WARNING", At: b.At, Publisher: l.Host, Name: b.Name,
		Holder: e.Holder, Reason: b.Why, Since: e.Since, Purpose: e.Purpose, Task: e.Task, By: b.By,
	})
	if err != nil {
		return clientv3.Op{}, err
	}
	return clientv3.OpPut(keys.events(b.Name)+id.String(), string(value)), nil
}
