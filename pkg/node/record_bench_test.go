package node

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// aMachine is a node with four ports, a portgroup and a volume, as many have.
func aMachine(b *testing.B) (Keys, *Node, []*mvccpb.KeyValue) {
	b.Helper()
	keys := Keys{Root: "/r/"}
	n := &Node{
		UUID: "3d207534-0000-4000-8000-000000000000", Name: "r1-u01", Driver: "redfish", ResourceClass: "baremetal",
		DriverInfo: Object{"redfish_address": "https://bmc.example", "redfish_username": "admin", "redfish_password": "x"},
		Properties: Object{"cpus": 64, "memory_mb": 262144, "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"},
	}
	all := []Record{n, &Portgroup{UUID: "g", NodeUUID: n.UUID, Name: "bond0"}}
	for i := range 4 {
		all = append(all, &Port{UUID: fmt.Sprint("p", i), NodeUUID: n.UUID, Address: fmt.Sprintf("52:54:00:00:00:%02d", i), PortgroupUUID: "g"})
	}
	all = append(all, &VolumeConnector{UUID: "c", NodeUUID: n.UUID, Type: "iqn"}, &VolumeTarget{UUID: "t", NodeUUID: n.UUID, VolumeType: "iscsi"})
	var kvs []*mvccpb.KeyValue
	for i, r := range all {
		text, err := encode(r)
		if err != nil {
			b.Fatal(err)
		}
		kvs = append(kvs, &mvccpb.KeyValue{Key: []byte(keys.of(r)), Value: []byte(text), CreateRevision: int64(i + 1), ModRevision: int64(i + 1)})
	}
	return keys, n, kvs
}

// BenchmarkRecordsDecode reads what comes with a lock: a node and the seven records that belong to it.
func BenchmarkRecordsDecode(b *testing.B) {
	keys, n, kvs := aMachine(b)
	b.ReportAllocs()
	for b.Loop() {
		rs, err := keys.Decode(n.UUID, kvs)
		if err != nil || len(rs.children()) != 7 || len(rs.Corrupt) != 0 {
			b.Fatal(rs, err)
		}
	}
}

// BenchmarkRecordEncode writes what goes with a release: the node.
func BenchmarkRecordEncode(b *testing.B) {
	_, n, _ := aMachine(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(n); err != nil {
			b.Fatal(err)
		}
	}
}
