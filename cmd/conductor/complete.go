package main

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long a shell is let wait for names.
const completionTime = time.Second

// completeNodes offers the nodes that are not there yet.
func (n *nodeVerbs) completeNodes(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return n.client.nodeNames(n.program, c, args, begun), cobra.ShellCompDirectiveNoFileComp
}

// completeFirstNode offers nodes for the first argument only.
func (n *nodeVerbs) completeFirstNode(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return n.completeNodes(c, args, begun)
}

// nodeNames asks a conductor for names, and offers none when it does not answer:
// a shell has no place for an error.
func (c *apiClient) nodeNames(p program, verb *cobra.Command, args []string, begun string) []string {
	if err := p.applySettings(verb, nil); err != nil { // as it is not done for completion
		return nil
	}
	ctx, cancel := context.WithTimeout(verb.Context(), completionTime)
	defer cancel()
	var names []string
	_ = c.eachPage(ctx, "/v1/nodes", url.Values{"fields": {"uuid,name,provision_state"}}, func(raw map[string]json.RawMessage) error {
		var some []struct {
			UUID  string `json:"uuid"`
			Name  string `json:"name"`
			State string `json:"provision_state"`
		}
		if err := json.Unmarshal(raw["nodes"], &some); err != nil {
			return err
		}
		for _, one := range some {
			name := one.Name
			if name == "" {
				name = one.UUID
			}
			if strings.HasPrefix(name, begun) && !slices.Contains(args, name) {
				names = append(names, name+"\t"+one.State)
			}
		}
		return nil
	})
	return names
}
