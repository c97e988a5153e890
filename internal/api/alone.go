package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// alone fills in what all kinds of records that belong to no node have.
func alone[R node.Record](s *resource[R]) *resource[R] {
	s.fields = fieldsOf[R]()
	if s.derived == nil {
		s.derived = map[string]func(*view, R) any{}
	}
	s.derived["links"] = func(v *view, r R) any { return v.links(s.path + "/" + r.ID()) }
	return s
}

// attempts is how often a change of a record that no lock guards is made anew
// because somebody else was faster.
const attempts = 5

// patchAlone is PATCH of a record that belongs to no node: guarded by its
// revision alone, a patch that was too late is applied to what is there by then.
// Mend, if it is not nil, changes what hangs on what the patch gives.
func (s *resource[R]) patchAlone(mend func(done R, e edit)) route {
	return func(ctx context.Context, c *call) error {
		e, err := s.edit(c)
		if err != nil {
			return err
		}
		var done R
		for range attempts {
			if done, err = s.patchOnce(ctx, c, e, mend); !errors.Is(err, node.ErrStale) {
				break
			}
		}
		if err != nil {
			return err
		}
		return c.json(http.StatusOK, s.render(&view{call: c}, done, s.visible(c.v)))
	}
}

func (s *resource[R]) patchOnce(ctx context.Context, c *call, e edit, mend func(R, edit)) (R, error) {
	var none R
	old, err := s.one(ctx, c)
	if err != nil {
		return none, err
	}
	done, _, err := s.amend(old, e)
	if err != nil {
		return none, err
	}
	if mend != nil {
		mend(done, e)
	}
	if s.same(old, done) {
		return done, nil
	}
	change, err := c.cfg.Store.Keys().Update(old, done)
	if err == nil {
		_, err = c.cfg.Tasks.Commit(ctx, change, c.told(done, task.Updated))
	}
	return done, err
}

// removeAlone is DELETE of a record that belongs to no node.
func (s *resource[R]) removeAlone(ctx context.Context, c *call) error {
	var err error
	for range attempts {
		var r R
		if r, err = s.one(ctx, c); err != nil {
			return err
		}
		var change node.Change
		if change, err = c.cfg.Store.Keys().Delete(nil, r); err != nil {
			return err
		}
		if _, err = c.cfg.Tasks.Commit(ctx, change, c.told(r, task.Deleted)); !errors.Is(err, node.ErrStale) {
			break
		}
	}
	if err != nil {
		return err
	}
	return c.empty()
}

// told is the notification of what the caller did to a record.
func (c *call) told(r node.Record, action string) task.Notification {
	n := task.Told(r, action)
	n.User = c.user()
	return n
}
