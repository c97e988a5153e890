package main

import (
	"github.com/spf13/cobra"

	"github.com/conductor-metal/conductor/internal/audit"
)

func (p program) auditCommand() *cobra.Command {
	var etcd etcdOptions
	var o audit.Options
	var out output
	c := &cobra.Command{
		Use:   "audit",
		Short: "Prove from etcd's history that the locks kept their promises",
		Long: `Prove from etcd's history alone that the locks kept their promises: never two
holders that exclude each other, never a record written by one who did not hold its
node. It goes back as far as etcd does (compaction), and needs no conductor. The
exit code is 1 if a promise was broken.

A record that was deleted by hand, or changed by hand while its node was locked, is
such a write, and each audit fails for it until etcd has compacted that revision. To
check only what came after, start there: --from with the revision that the violation
names.`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := etcd.connect(c.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			r, err := audit.Check(c.Context(), client, etcd.root(), o)
			if err != nil {
				return unanswered(etcd.endpoints, err)
			}
			return reportAudit(&out, r)
		},
	}
	c.Flags().Int64Var(&o.From, "from", 0, "first revision (0: the oldest that etcd has)")
	c.Flags().Int64Var(&o.To, "to", 0, "last revision (0: the present one)")
	c.Flags().IntVar(&o.Keep, "keep", 0, "violations that are listed (0: 1000); all are counted")
	etcd.clientFlags(c.Flags())
	out.flags(c.Flags(), p.out)
	return c
}

func reportAudit(out *output, r *audit.Report) error {
	var err error
	if out.format.value == "table" {
		err = r.WriteText(out.w)
	} else {
		err = out.show(view{data: r, names: []string{r.String()}})
	}
	if err == nil && !r.OK() {
		return &codeError{code: exitFailure}
	}
	return err
}
