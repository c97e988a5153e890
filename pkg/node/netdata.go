package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// netRule says whether a value of network_data is what its key wants. What it
// returns completes "must be".
type netRule struct {
	wants string
	good  func(v any) bool
}

// netKind is one kind of thing that network_data describes: the keys that it must
// have, and the rules of keys that it may have.
type netKind struct{ must, may map[string]netRule }

var (
	netText  = netRule{"text", func(v any) bool { _, ok := v.(string); return ok }}
	netMAC   = netRule{"a MAC address", matching(`^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$`)}
	netWhole = netRule{"a whole number", func(v any) bool { n, ok := v.(json.Number); return ok && !strings.ContainsAny(n.String(), ".eE") }}
	netMTU   = netRule{"a number from 1 to 65535", func(v any) bool {
		n, ok := v.(json.Number)
		f, err := n.Float64()
		return v == nil || ok && err == nil && f >= 1 && f <= 65535
	}}
	netList  = netRule{"a list", func(v any) bool { _, ok := v.([]any); return ok }}
	netNames = netRule{"a list of texts", func(v any) bool {
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(e any) bool { return !netText.good(e) })
	}}
	netIPv4 = netRule{"an IPv4 address", func(v any) bool { return isAddr(v, netip.Addr.Is4) }}
	netIPv6 = netRule{"an IPv6 address", func(v any) bool { return isAddr(v, netip.Addr.Is6) }}
	netIP   = netRule{"an address", func(v any) bool { return isAddr(v, netip.Addr.IsValid) }}
)

func matching(pattern string) func(any) bool {
	r := regexp.MustCompile(pattern)
	return func(v any) bool {
		s, ok := v.(string)
		return ok && r.MatchString(s)
	}
}

func isAddr(v any, of func(netip.Addr) bool) bool {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" && of(a)
}

func netOneOf(names ...string) netRule {
	return netRule{"one of " + strings.Join(names, ", "), func(v any) bool { s, ok := v.(string); return ok && slices.Contains(names, s) }}
}

// The kinds by the value of "type". Ironic: api/controllers/v1/network-data-schema.json.
var (
	netLink = netKind{map[string]netRule{"id": netText, "ethernet_mac_address": netMAC}, map[string]netRule{"mtu": netMTU, "vif_id": netText}}
	netBond = netKind{map[string]netRule{
		"id": netText, "ethernet_mac_address": netMAC, "bond_links": netNames,
		"bond_mode": netOneOf("802.3ad", "balance-rr", "active-backup", "balance-xor", "broadcast", "balance-tlb", "balance-alb"),
	}, netLink.may}
	netVLAN    = netKind{map[string]netRule{"id": netText, "vlan_mac_address": netMAC, "vlan_link": netText, "vlan_id": netWhole}, netLink.may}
	netNetwork = map[string]netRule{"id": netText, "link": netText, "network_id": netText}
	netV4      = netKind{netNetwork, map[string]netRule{"ip_address": netIPv4, "netmask": netIPv4, "routes": netList}}
	netV6      = netKind{netNetwork, map[string]netRule{"ip_address": netIPv6, "netmask": netIPv6, "routes": netList}}

	netKinds = map[string]map[string]netKind{
		"links": {
			"bridge": netLink, "dvs": netLink, "hw_veb": netLink, "hyperv": netLink, "ovs": netLink, "tap": netLink, "vhostuser": netLink,
			"vif": netLink, "phy": netLink, "bond": netBond, "vlan": netVLAN,
		},
		"networks": {"ipv4": netV4, "ipv4_dhcp": netV4, "ipv6": netV6, "ipv6_dhcp": netV6, "ipv6_slaac": netV6},
		"services": {"dns": {must: map[string]netRule{"address": netIP}}},
	}
)

// networkData checks the network of a node as its first boot is to find it, if it
// is described at all. Keys that are not known are passed over.
func (p *problems) networkData(o Object) {
	if len(o) == 0 {
		return
	}
	for _, part := range slices.Sorted(maps.Keys(netKinds)) {
		list, ok := o[part].([]any)
		if !ok {
			p.add("network_data/"+part, "is required, and must be a list")
		}
		for i, e := range list {
			p.networkItem(fmt.Sprintf("network_data/%s/%d", part, i), netKinds[part], mapOf(e))
		}
	}
}

func (p *problems) networkItem(path string, kinds map[string]netKind, item map[string]any) {
	text, _ := item["type"].(string)
	kind, ok := kinds[text]
	if !ok {
		p.add(path+"/type", "must be one of %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(kind.must)) {
		if !kind.must[key].good(item[key]) {
			p.add(path+"/"+key, "is required, and must be %s", kind.must[key].wants)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(kind.may)) {
		if v, ok := item[key]; ok && !kind.may[key].good(v) {
			p.add(path+"/"+key, "must be %s", kind.may[key].wants)
		}
	}
}
