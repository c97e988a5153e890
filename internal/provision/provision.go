package provision

import (
	"context"
	"log/slog"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes a Provisioner.
type Config struct {
	Tasks  *task.Manager // required
	Logger *slog.Logger  // nil: discarded
}

// Provisioner turns what users ask for into tasks. Its methods are safe for
// concurrent use.
type Provisioner struct {
	cfg Config
}

// New returns a Provisioner.
func New(c Config) *Provisioner {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Provisioner{cfg: c}
}

// SetPower asks for a power state. It returns when the request is accepted:
// the target is stored and the lock is in the hands of a worker.
func (p *Provisioner) SetPower(ctx context.Context, id node.ID, target node.PowerState, timeout time.Duration, wait time.Duration, user string) error {
	_, _, _, _, _, _ = ctx, id, target, timeout, wait, user
	return nil
}
