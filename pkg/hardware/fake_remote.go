package hardware

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// RemoteMachines are [Machines] behind an HTTP address, so that the fakes of
// several processes can command the same ones. A call is a POST of a
// [RemoteCommand], which is answered when the machine is done: 200 with the
// power state, or another status with the reason as text.
type RemoteMachines struct {
	URL string
	// Client sends the calls; nil: [http.DefaultClient].
	Client *http.Client
}

var _ Machines = RemoteMachines{}

// RemoteCommand is a call on its way to RemoteMachines.
type RemoteCommand struct {
	Call  Call            `json:"call"`
	Actor Actor           `json:"actor"`
	To    node.PowerState `json:"to,omitempty"` // of power.Set and power.Reboot
	Sent  time.Time       `json:"sent"`         // by the caller's clock
}

// Power implements [Machines].
func (r RemoteMachines) Power(ctx context.Context, c Call) (node.PowerState, error) {
	return r.send(ctx, c, "")
}

// SetPower implements [Machines].
func (r RemoteMachines) SetPower(ctx context.Context, c Call, to node.PowerState) error {
	_, err := r.send(ctx, c, to)
	return err
}

// Command implements [Machines].
func (r RemoteMachines) Command(ctx context.Context, c Call) error {
	_, err := r.send(ctx, c, "")
	return err
}

func (r RemoteMachines) send(ctx context.Context, c Call, to node.PowerState) (node.PowerState, error) {
	body, err := json.Marshal(RemoteCommand{Call: c, Actor: ActorFrom(ctx), To: to, Sent: time.Now()})
	if err != nil {
		return "", err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(q)
	if ctx.Err() != nil && err != nil {
		return "", fmt.Errorf("%s: no answer: %w", c, context.Cause(ctx))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return "", fmt.Errorf("%s: no answer: %w", c, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: the machine answers %s: %s", c, resp.Status, bytes.TrimSpace(answer))
	}
	return node.PowerState(answer), nil
}
