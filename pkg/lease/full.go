package lease

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// patience says for how long a write goes on without a result. The zero value: as long as its context.
type patience struct {
	silent time.Duration   // while etcd does not answer
	full   <-chan struct{} // while etcd is full
}

// roomy is commit that tries again while etcd is full. Etcd refuses also the write that fills it,
// and makes it: commit knows of that doubt.
func (l *Lock) roomy(ctx context.Context, p patience, ifs []clientv3.Cmp, then, els []clientv3.Op) (r *clientv3.TxnResponse, doubt bool, err error) {
	for told := false; ; told = true {
		try, cancel := ctx, context.CancelFunc(func() {})
		if p.silent > 0 {
			try, cancel = context.WithTimeout(ctx, p.silent)
		}
		r, again, err := l.s.commit(try, ifs, then, els)
		cancel()
		doubt = doubt || again
		if !errors.Is(err, rpctypes.ErrNoSpace) {
			return r, doubt, err
		}
		if !told {
			l.s.cfg.Logger.WarnContext(ctx, "etcd is full: a write waits under its lock", "lock", l.name, "purpose", l.req.Purpose, "err", err)
		}
		select {
		case <-time.After(jitter(time.Second)):
			continue
		case <-p.full:
		case <-l.ctx.Done():
		case <-ctx.Done():
		}
		return nil, doubt, err
	}
}
