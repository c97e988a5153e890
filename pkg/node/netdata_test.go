package node

import (
	"errors"
	"strings"
	"testing"
)

func TestNetworkData(t *testing.T) {
	const (
		phy     = `{"id": "eth0", "type": "phy", "ethernet_mac_address": "FA:16:3e:9c:bf:3d", "mtu": 1500}`
		bond    = `{"id": "b0", "type": "bond", "ethernet_mac_address": "fa-16-3e-9c-bf-3d", "bond_mode": "802.3ad", "bond_links": ["eth0"], "mtu": null}`
		vlan    = `{"id": "v0", "type": "vlan", "vlan_mac_address": "fa:16:3e:9c:bf:3d", "vlan_link": "b0", "vlan_id": 7}`
		v4      = `{"id": "n0", "link": "v0", "network_id": "x", "type": "ipv4", "ip_address": "10.0.0.5", "netmask": "255.255.255.0", "routes": []}`
		v6      = `{"id": "n1", "link": "v0", "network_id": "y", "type": "ipv6_slaac", "ip_address": "fd00::5"}`
		dns     = `{"type": "dns", "address": "10.0.0.1"}`
		nothing = `"links": [], "networks": [], "services": []`
	)
	tests := []struct{ name, data, bad string }{
		{"none", `{}`, ""},
		{"empty lists", `{` + nothing + `}`, ""},
		{"all", `{"links": [` + phy + `,` + bond + `,` + vlan + `], "networks": [` + v4 + `,` + v6 + `], "services": [` + dns + `]}`, ""},
		{"keys that are not known", `{` + nothing + `, "colour": 1}`, ""},
		{"no lists", `{"links": {}}`, "network_data/links network_data/networks network_data/services"},
		{"a link that is none", `{"links": [7, {"type": "rope"}], "networks": [], "services": []}`, "network_data/links/0/type network_data/links/1/type"},
		{
			"a link without all", `{"links": [{"type": "phy", "mtu": 0, "vif_id": 1}], "networks": [], "services": []}`,
			"network_data/links/0/ethernet_mac_address network_data/links/0/id network_data/links/0/mtu network_data/links/0/vif_id",
		},
		{
			"a bond without all", `{"links": [{"type": "bond", "id": "b", "ethernet_mac_address": "x", "bond_links": [1], "bond_mode": "x"}], "networks": [], "services": []}`,
			"network_data/links/0/bond_links network_data/links/0/bond_mode network_data/links/0/ethernet_mac_address",
		},
		{"a vlan of half", `{"links": [` + strings.Replace(vlan, "7", "7.5", 1) + `], "networks": [], "services": []}`, "network_data/links/0/vlan_id"},
		{"an address of the other kind", `{"links": [], "networks": [` + strings.Replace(v4, "10.0.0.5", "fd00::5", 1) + `], "services": []}`, "network_data/networks/0/ip_address"},
		{"a service without address", `{"links": [], "networks": [], "services": [{"type": "dns"}]}`, "network_data/services/0/address"},
	}
	for _, tt := range tests {
		n := &Node{UUID: fuzzID, Driver: "d", ProvisionState: StateEnroll, NetworkData: object(t, tt.data)}
		var got []string
		if v, ok := errors.AsType[*ValidationError](n.Validate()); ok {
			for _, f := range v.Fields {
				got = append(got, f.Field)
			}
		}
		if strings.Join(got, " ") != tt.bad {
			t.Errorf("%s: bad are %q, want %q", tt.name, got, tt.bad)
		}
	}
}
