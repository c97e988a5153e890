package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

func (n *nodeVerbs) historyCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "history NODE", Short: "Show what has happened to a node: its errors and changes", Args: exactly(1), ValidArgsFunction: n.completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			l := &listing{path: nodePath(args[0], "/history"), plural: "history", limit: limit, columns: []column{
				{"AT", func(r map[string]json.RawMessage) string { return bare(r["created_at"]) }},
				plainColumn("severity"),
				{"TYPE", func(r map[string]json.RawMessage) string { return bare(r["event_type"]) }},
				plainColumn("conductor"), plainColumn("user"), plainColumn("event"),
			}}
			return l.list(c.Context(), n.program, &n.client, &n.output)
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "show so many at most (0: all)")
	annotate(c.Flags(), "limit", fromCommandLineOnly)
	return c
}
