package api

import "github.com/conductor-metal/conductor/pkg/node"

var runbookColumns = columns{
	"uuid": given(92), "name": edited(92), "steps": edited(92), "disable_ramdisk": edited(92), "public": edited(92),
	"owner": edited(92), "description": edited(beyond), "extra": edited(92),
	"created_at": shown(92), "updated_at": shown(92), "links": shown(92),
}

func (a *api) runbooks() *resource[*node.Runbook] {
	s := a.cfg.Store
	return alone(&resource[*node.Runbook]{
		kind: node.KindRunbook, path: "runbooks", plural: "runbooks", since: 92, names: 92, columns: runbookColumns,
		clone: (*node.Runbook).Clone, masked: (*node.Runbook).Masked, required: []string{"name", "steps"},
		brief: []string{"uuid", "name", "links"}, list: s.Runbooks, find: s.Runbook,
	})
}

func (a *api) runbookRoutes() {
	s := a.runbooks()
	a.handle("POST /v1/runbooks", 92, s.create)
	a.handle("GET /v1/runbooks", 92, s.index(false))
	a.handle("GET /v1/runbooks/{ref}", 92, s.show)
	a.handle("PATCH /v1/runbooks/{ref}", 92, s.patchAlone(disown))
	a.handle("DELETE /v1/runbooks/{ref}", 92, s.removeAlone)
}

// disown takes the owner from a runbook that becomes public, unless the patch
// gives one, which is refused. Ironic: the same.
func disown(b *node.Runbook, e edit) {
	if b.Public && e.gives("public") && !e.gives("owner") {
		b.Owner = ""
	}
}
