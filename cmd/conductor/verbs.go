package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (p program) healthCommand() *cobra.Command {
	client := &apiClient{}
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a conductor whether it is ready for work; the exit code is the answer",
		Args:  exactly(0),
		RunE:  func(c *cobra.Command, _ []string) error { return p.health(c.Context(), client) },
	}
	client.serverFlags(c.Flags())
	return c
}

func (p program) health(ctx context.Context, client *apiClient) error {
	ctx, cancel := context.WithTimeout(ctx, client.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, client.server.String()+"/readyz?verbose", nil)
	if err != nil {
		return usage(fmt.Errorf("--server: %w", err))
	}
	answer, err := (&http.Client{Transport: &client.security}).Do(r)
	if err != nil {
		return client.unanswered(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return client.unanswered(err)
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New("not ready: " + strings.TrimSpace(string(text)))
	}
	_, err = fmt.Fprintln(p.out, strings.TrimSpace(string(text)))
	return err
}

func (p program) versionCommand() *cobra.Command {
	var o output
	c := &cobra.Command{
		Use: "version", Short: "Print what this program was built from", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			data := map[string]string{"version": version, "revision": revision(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return o.show(view{data: data, names: []string{version}, rows: [][]string{
				{"conductor", version}, {"revision", data["revision"]}, {"go", data["go"]}, {"platform", data["platform"]},
			}})
		},
	}
	o.flags(c.Flags(), p.out)
	return c
}

// setting is one value with where it came from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

func (p program) configCommand() *cobra.Command {
	var o output
	show := &cobra.Command{
		Use:   "show [VERB...]",
		Short: "Show the settings of a verb (default: serve), and where each comes from",
		RunE:  func(c *cobra.Command, args []string) error { return p.showConfig(c, args, &o) },
	}
	o.flags(show.Flags(), p.out)
	return group("config", "Look at settings", show)
}

func (p program) showConfig(c *cobra.Command, args []string, o *output) error {
	if len(args) == 0 {
		args = []string{"serve"}
	}
	verb, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 || !verb.Runnable() {
		return usage(fmt.Errorf("there is no verb %q", strings.Join(args, " ")))
	}
	verb.InheritedFlags() // merges them into Flags
	if path := c.Flag("config").Value.String(); path != "" {
		if err := verb.Flags().Set("config", path); err != nil {
			return err
		}
	}
	if err := p.applySettings(verb, nil); err != nil {
		return err
	}
	v := view{header: []string{"SETTING", "VALUE", "FROM"}}
	var all []setting
	verb.Flags().VisitAll(func(f *pflag.Flag) {
		if !configurable(f) {
			return
		}
		s := setting{f.Name, f.Value.String(), "default"}
		if from := f.Annotations[origin]; len(from) > 0 {
			s.Origin = from[0]
		}
		if f.Name == "etcd-user" {
			if name, _, ok := strings.Cut(s.Value, ":"); ok {
				s.Value = name + ":******"
			}
		}
		all = append(all, s)
		v.names = append(v.names, s.Name)
		v.rows = append(v.rows, []string{s.Name, s.Value, s.Origin})
	})
	v.data = all
	return o.show(v)
}

func settingsTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "How flags, environment and a file give settings",
		Long: `A flag has, in this order, the value that is given on the command line, that of its
variable in the environment, that of its name in the file of --config, and its
default. The variable of --lease-ttl is CONDUCTOR_LEASE_TTL. An empty variable
counts as none. The file is YAML:

  etcd-endpoints: [http://10.0.0.1:2379, http://10.0.0.2:2379]
  lease-ttl: 20s
  fake-delay: {power: 2, deploy: "5,20"}

One file may serve all verbs; a name that no verb has is an error. Flags that
confirm something (--yes, --reason and the like) count on the command line only.

The flags for etcd take ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY
and ETCDCTL_USER when nothing else is said; but serve does not take
ETCDCTL_ENDPOINTS, for it would then start no etcd of its own.

"conductor config show VERB" prints the result, and where each value comes from.`,
	}
}
