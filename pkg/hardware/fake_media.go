package hardware

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// FakeSetupKey is the key in driver_internal_info under which the fake
// management keeps how its machine is set up, as far as a node has no column for
// it: boot_device, indicators and virtual_media.
const FakeSetupKey = "fake_setup"

// setup is a part of what is kept there.
type setup map[string]any

// object is a part of the part, nil if there is none.
func (s setup) object(key string) setup {
	switch v := s[key].(type) {
	case map[string]any:
		return v
	case setup:
		return v
	}
	return nil
}

func (s setup) clone() setup {
	if s == nil {
		return setup{}
	}
	return maps.Clone(s)
}

func fakeSetup(n *node.Node) setup { return setup(n.DriverInternalInfo).object(FakeSetupKey) }

// keepSetup replaces a part of the node's setup. It changes no map in place, as
// copies of the record may share it.
func keepSetup(n *node.Node, key string, value setup) {
	all := fakeSetup(n).clone()
	all[key] = map[string]any(value)
	info := maps.Clone(n.DriverInternalInfo)
	if info == nil {
		info = node.Object{}
	}
	info[FakeSetupKey] = map[string]any(all)
	n.DriverInternalInfo = info
}

// fakeMedia says what each virtual device can be. Redfish: VirtualMedia,
// MediaTypes.
var fakeMedia = map[string][]string{
	BootCDROM:  {"CD", "DVD"},
	BootDisk:   {"USBStick"},
	BootFloppy: {"Floppy"},
}

// VirtualMedia has one device of each kind.
func (m fakeManagement) VirtualMedia(ctx context.Context, n *node.Node) ([]VirtualMedia, error) {
	if err := m.read(ctx, n, InterfaceManagement, "VirtualMedia"); err != nil {
		return nil, err
	}
	inserted := fakeSetup(n).object("virtual_media")
	var all []VirtualMedia
	for _, device := range slices.Sorted(maps.Keys(fakeMedia)) {
		image, in := inserted[device].(string)
		all = append(all, VirtualMedia{Types: slices.Clone(fakeMedia[device]), Inserted: in, Image: image})
	}
	return all, nil
}

// AttachVirtualMedia replaces what is in the device.
func (m fakeManagement) AttachVirtualMedia(ctx context.Context, n *node.Node, device, url string) error {
	if err := mediaDevices(device); err != nil {
		return err
	}
	return m.set(ctx, n, "AttachVirtualMedia", func() {
		inserted := fakeSetup(n).object("virtual_media").clone()
		inserted[device] = url
		keepSetup(n, "virtual_media", inserted)
	})
}

// DetachVirtualMedia does not mind a device that is empty.
func (m fakeManagement) DetachVirtualMedia(ctx context.Context, n *node.Node, devices []string) error {
	if err := mediaDevices(devices...); err != nil {
		return err
	}
	return m.set(ctx, n, "DetachVirtualMedia", func() {
		inserted := fakeSetup(n).object("virtual_media").clone()
		for device := range fakeMedia {
			if len(devices) == 0 || slices.Contains(devices, device) {
				delete(inserted, device)
			}
		}
		keepSetup(n, "virtual_media", inserted)
	})
}

func mediaDevices(devices ...string) error {
	for _, d := range devices {
		if !slices.Contains(MediaDevices(), d) {
			return fmt.Errorf("%w: virtual device %q, supported: %s", ErrInvalidParameter, d, list(MediaDevices()))
		}
	}
	return nil
}
