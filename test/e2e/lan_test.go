package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lan is a network of their own for the members of an etcd, in which each talks to
// the others from an address of its own. Clients come through a socket each and
// see nothing of what happens there. It ends with the test.
type lan struct {
	t *testing.T
	*process
}

// startLAN makes a network with an address for each of some members.
func startLAN(t *testing.T, members int) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "only root can cut the network between the members of an etcd")
	}
	need(t, "unshare", "nsenter", "ip", "iptables")
	script := "ip link set lo up"
	for i := range members {
		script += fmt.Sprintf(" && ip addr add %s/32 dev lo", lanAddress(i))
	}
	script += " && iptables -S >/dev/null && echo up && exec sleep infinity"
	l := &lan{t, start(t, "network", nil, program(t, "unshare"), "--net", "sh", "-c", script)}
	if _, _, err := l.out.next(t.Context(), 0, func(line string) bool { return line == "up" }); err != nil {
		missing(t, "no network for the members of an etcd can be made here: %s", l.err.tail("unshare", 5))
	}
	return l
}

func lanAddress(i int) string { return fmt.Sprintf("10.99.0.%d", i+1) }

// inside are the words before a command that has it run in this network.
func (l *lan) inside() []string {
	return []string{program(l.t, "nsenter"), fmt.Sprintf("--net=/proc/%d/ns/net", l.cmd.Process.Pid)}
}

// startEtcd starts a cluster in this network.
func (l *lan) startEtcd(members int) *etcd {
	l.t.Helper()
	need(l.t, "etcd", "etcdctl")
	e := &etcd{t: l.t}
	dir, err := os.MkdirTemp(scratch, "") // the path of a socket must be short
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range members {
		socket := fmt.Sprintf("unix://%s", filepath.Join(dir, fmt.Sprint(i)))
		e.members = append(e.members, &member{
			url: startProxy(l.t, socket).url, socket: socket, peer: "http://" + lanAddress(i) + ":2380", enter: l.inside(),
		})
	}
	e.start("--feature-gates", "SetMemberLocalAddr=true")
	return e
}

// cut has all that a member sends to the others (answers), all that the others
// send to it (requests), or both, lost. It returns what heals the network.
func (l *lan) cut(m *member, lost loss) (heal func()) {
	l.t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(m.peer, "http://"), ":2380")
	var rules [][]string
	if lost.answers {
		rules = append(rules, []string{"INPUT", "-s", address, "!", "-d", address, "-j", "DROP"})
	}
	if lost.requests {
		rules = append(rules, []string{"INPUT", "-d", address, "!", "-s", address, "-j", "DROP"})
	}
	each := func(verb string) {
		l.t.Helper()
		for _, rule := range rules {
			line := append(append(l.inside(), program(l.t, "iptables"), "-w", verb), rule...)
			if r := run(l.t, nil, line[0], line[1:]...); r.code != 0 {
				l.t.Fatalf("iptables %s %v: %s", verb, rule, r)
			}
		}
	}
	each("-A")
	return func() { l.t.Helper(); each("-D") }
}
