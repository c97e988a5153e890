package audit_test

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/conductor-metal/conductor/internal/audit"
	"github.com/conductor-metal/conductor/pkg/lease"
)

func ExampleReport_WriteText() {
	r := audit.Report{
		Root: "/conductor/v1/", From: 40, To: 90, Revisions: 48, Names: 2, Grants: 9, Writes: 11, Count: 2,
		Gaps: []audit.Gap{{From: 60, To: 62}},
		Violations: []audit.Violation{{
			Revision: 77, Kind: audit.Unowned, Name: "n1", Detail: "/conductor/v1/nodes/n1 was written by b-1, who did not hold the node exclusively",
			Entries: []audit.Entry{{
				Key: "/conductor/v1/locks/n1/shared/a-1", Mode: lease.Shared, Holder: "c1", Purpose: "look", Ticket: "a-1", Create: 70, Rank: 65,
			}},
		}},
	}
	r.WriteText(os.Stdout)
	j, _ := json.Marshal(r.Violations[0].Entries)
	fmt.Println(string(j))
	// Output:
	// revisions 40 to 90 below /conductor/v1/: 48 changes, 2 names, 9 grants, 11 writes, 0 deletes: 2 violations
	// not checked: before revision 40
	// not checked: revisions 60 to 62, compacted while the check ran
	// revision 77: n1: unowned: /conductor/v1/nodes/n1 was written by b-1, who did not hold the node exclusively
	//     shared /conductor/v1/locks/n1/shared/a-1 by c1 for "look", created at 70, ranks as 65
	// and 1 more
	// [{"key":"/conductor/v1/locks/n1/shared/a-1","mode":"shared","holder":"c1","purpose":"look","ticket":"a-1","create_revision":70,"rank":65}]
}
