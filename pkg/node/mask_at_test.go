package node

import "testing"

// A password may have an @ in it, which Go's URLs take.
func TestMaskedPasswordWithAt(t *testing.T) {
	o := Object{"url": "https://root:p@ss@bmc/x", "none": "https://bmc/x"}
	if m := o.Masked(); m["url"] != "https://root:******@bmc/x" || m["none"] != "https://bmc/x" {
		t.Errorf("masked: %v", m)
	}
}
