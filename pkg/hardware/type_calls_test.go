package hardware

import (
	"context"
	"errors"
	"testing"
)

// typed is a vendor implementation with a method of its hardware type.
type typed struct{ noVendor }

func (typed) TypeMethods() []VendorMethod {
	return []VendorMethod{{Name: "count", HTTPMethods: []string{"GET", "POST"}}}
}

func (typed) CallType(_ context.Context, c VendorCall) (any, error) { return len(c.Args), nil }

func TestCallType(t *testing.T) {
	r, err := NewRegistry(Config{
		Types: []Type{{Name: "bare", Supported: map[string][]string{"vendor": {"typed"}, "raid": {"no-raid"}}}},
		Kit:   Kit{Vendor: map[string]Vendor{"typed": typed{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, m, err := r.CallType(t.Context(), "bare", VendorCall{Method: "count", HTTPMethod: "GET", Args: map[string]any{"a": 1}})
	if err != nil || got != 1 || m.Name != "count" {
		t.Errorf("got %v of %v, %v", got, m, err)
	}
	if methods, err := r.TypeMethods(FakeHardware); err != nil || len(methods) != 0 {
		t.Errorf("fake-hardware has %v, %v", methods, err)
	}
	for what, tt := range map[string]struct {
		driver, method, http string
		want                 error
	}{
		"no such type":        {"x", "count", "GET", ErrDriverNotFound},
		"no such method":      {"bare", "x", "GET", ErrInvalidParameter},
		"not in this way":     {"bare", "count", "DELETE", ErrInvalidParameter},
		"a type without such": {FakeHardware, "count", "GET", ErrInvalidParameter},
	} {
		if _, _, err := r.CallType(t.Context(), tt.driver, VendorCall{Method: tt.method, HTTPMethod: tt.http}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", what, err, tt.want)
		}
	}
	for _, driver := range []string{"bare", FakeHardware} {
		if p, err := r.LogicalDiskProperties(t.Context(), driver); err != nil || len(p) != len(diskProperties()) || p["size_gb"] == "" {
			t.Errorf("%s: logical disks %v, %v", driver, p, err)
		}
	}
	if _, err := r.LogicalDiskProperties(t.Context(), "x"); !errors.Is(err, ErrDriverNotFound) {
		t.Errorf("got %v, want %v", err, ErrDriverNotFound)
	}
}
