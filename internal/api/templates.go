package api

import "github.com/conductor-metal/conductor/pkg/node"

var templateColumns = columns{
	"uuid": given(55), "name": edited(55), "steps": edited(55), "extra": edited(55),
	"created_at": shown(55), "updated_at": shown(55), "links": shown(55),
}

func (a *api) templates() *resource[*node.DeployTemplate] {
	s := a.cfg.Store
	return alone(&resource[*node.DeployTemplate]{
		kind: node.KindDeployTemplate, path: "deploy_templates", plural: "deploy_templates", since: 55, names: 55, columns: templateColumns,
		clone: (*node.DeployTemplate).Clone, masked: (*node.DeployTemplate).Masked, required: []string{"name", "steps"},
		brief: []string{"uuid", "name", "links"}, list: s.DeployTemplates, find: s.DeployTemplate,
	})
}

func (a *api) templateRoutes() {
	s := a.templates()
	a.handle("POST /v1/deploy_templates", 55, s.create)
	a.handle("GET /v1/deploy_templates", 55, s.index(false))
	a.handle("GET /v1/deploy_templates/{ref}", 55, s.show)
	a.handle("PATCH /v1/deploy_templates/{ref}", 55, s.patchAlone(nil))
	a.handle("DELETE /v1/deploy_templates/{ref}", 55, s.removeAlone)
}
