package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// memberVerbs are about the conductors themselves.
type memberVerbs struct {
	program
	client apiClient
	output output
}

func (p program) memberCommand() *cobra.Command {
	m := &memberVerbs{program: p}
	c := group("member", "Look at the conductors that live, and drain them", m.listCommand(), m.drainCommand(), m.undrainCommand())
	m.client.serverFlags(c.PersistentFlags())
	return c
}

// member is a conductor as the API shows it.
type member struct {
	Host    string    `json:"host"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Group   string    `json:"conductor_group"`
	API     string    `json:"api"`
	Version string    `json:"version"`
	Drain   *struct {
		By    string    `json:"by"`
		Why   string    `json:"why"`
		Since time.Time `json:"since"`
	} `json:"drain"`
}

func (m *memberVerbs) listCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the conductors that live, and those that have an order to drain", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			var raw struct {
				Members []json.RawMessage `json:"members"`
			}
			if err := m.client.do(c.Context(), http.MethodGet, "/v1/members", nil, &raw); err != nil {
				return err
			}
			v := view{data: raw.Members, header: []string{"HOST", "STATE", "SINCE", "GROUP", "VERSION", "API", "DRAIN"}}
			for _, text := range raw.Members {
				var one member
				if err := json.Unmarshal(text, &one); err != nil {
					return fmt.Errorf("%s is no conductor, or of another version: %w", m.client.server, err)
				}
				since, drain := "", ""
				if !one.Since.IsZero() {
					since = stamp(one.Since)
				}
				if o := one.Drain; o != nil {
					drain = fmt.Sprintf("by %s since %s: %s", o.By, stamp(o.Since), o.Why)
				}
				v.names = append(v.names, one.Host)
				v.rows = append(v.rows, []string{one.Host, one.State, since, one.Group, one.Version, one.API, drain})
			}
			return m.output.show(v)
		},
	}
	m.output.flags(c.Flags(), m.out)
	return c
}

func (m *memberVerbs) drainCommand() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "drain HOST...",
		Short: "Let conductors finish what they do and take no new work",
		Long: `Let conductors finish what they do and take no new work: others take that. They
stay, with their locks and their API, until they are ended; the order stands until
"conductor member undrain", also if they are started again meanwhile.`,
		Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return m.order(c.Context(), http.MethodPut, args, map[string]string{"reason": why}, "drains")
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for others to see")
	annotate(c.Flags(), "reason", fromCommandLineOnly)
	return c
}

func (m *memberVerbs) undrainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "undrain HOST...", Short: "Let conductors take new work again", Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			return m.order(c.Context(), http.MethodDelete, args, nil, "takes work")
		},
	}
}

// order gives or takes an order for each host, and says what it did.
func (m *memberVerbs) order(ctx context.Context, method string, hosts []string, body any, done string) error {
	var errs []error
	for _, host := range hosts {
		err := m.client.do(ctx, method, "/v1/members/"+url.PathEscape(host)+"/drain", body, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", host, err))
			continue
		}
		fmt.Fprintln(m.err, strings.TrimSpace(host+" "+done))
	}
	return errors.Join(errs...)
}
