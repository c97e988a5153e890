package hardware

import "context"

// Actor is who commands a machine. It travels in the context from the gate to
// the implementation, so that a controller that records its commands can tell
// whose they were.
type Actor struct {
	// Conductor is the hostname of the conductor.
	Conductor string
	// Token is the fencing token of the lock the command is sent under. It
	// grows with each holder; zero means that no lock stands behind it.
	Token int64
	// Session names the conductor's session, which a restart changes.
	Session string
}

type actorKey struct{}

// WithActor returns a context that carries a.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor ctx carries, and the zero Actor if it carries
// none.
func ActorFrom(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
