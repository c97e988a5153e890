package hardwaretest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

// ServeHTTP answers [hardware.RemoteMachines], so that the machines of b can be
// commanded by other processes. What is recorded are the times of this process:
// a caller that is stopped or killed while the machine works changes nothing.
func (b *BMC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q hardware.RemoteCommand
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // the server notices that a caller has gone only after the end of the body
	ctx := withSent(hardware.WithActor(r.Context(), q.Actor), q.Sent)
	state, err := b.State(q.Call.Node), error(nil)
	switch {
	case q.To != "":
		err = b.SetPower(ctx, q.Call, q.To)
	case q.Call.Interface == hardware.InterfacePower && q.Call.Method == "Get":
		state, err = b.Power(ctx, q.Call)
	default:
		err = b.Command(ctx, q.Call)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, string(state))
}

type sentKey struct{}

func withSent(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, sentKey{}, at)
}

func sentFrom(ctx context.Context) time.Time {
	at, _ := ctx.Value(sentKey{}).(time.Time)
	return at
}
