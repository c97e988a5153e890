package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// drivePart are the parts of which a configuration drive can be made.
type driveParts struct {
	MetaData    *node.Object    `json:"meta_data"`
	NetworkData *node.Object    `json:"network_data"`
	UserData    json.RawMessage `json:"user_data"`
	VendorData  *node.Object    `json:"vendor_data"`
}

// drive answers the configuration drive that is asked for, nil if none is: a
// text, which is a URL or base64, or an object of its parts.
//
// Ironic: api_utils.check_allow_configdrive.
func (in *wanted) drive(v minor) (any, error) {
	if !says(in.ConfigDrive) {
		return nil, nil
	}
	targets := []provision.Verb{provision.Deploy}
	if v >= 35 {
		targets = append(targets, provision.Rebuild)
	}
	if !slices.Contains(targets, in.Target) {
		return nil, refuse(node.ErrInvalid, "Adding a config drive is only supported when setting provision state to active or, from API version 1.35 on, rebuild")
	}
	var text string
	if json.Unmarshal(in.ConfigDrive, &text) == nil {
		return text, checkDrive(text)
	}
	var o node.Object
	if json.Unmarshal(in.ConfigDrive, &o) != nil {
		return nil, refuse(node.ErrInvalid, "Invalid configdrive format: it must be text or an object")
	}
	var parts driveParts
	if err := node.DecodeInput(strings.NewReader(string(in.ConfigDrive)), maxBody, &parts); err != nil {
		return nil, refuse(node.ErrInvalid, "Invalid configdrive format: %v", err)
	}
	switch u := o["user_data"].(type) {
	case nil, string, map[string]any, []any:
	default:
		return nil, refuse(node.ErrInvalid, "Invalid configdrive format: user_data is %T; it must be text, an object or a list", u)
	}
	switch _, vendor := o["vendor_data"]; {
	case v < 56:
		return nil, refuse(node.ErrInvalid, "Providing a JSON object for configdrive is only supported starting with API version 1.56")
	case vendor && v < 59:
		return nil, refuse(node.ErrInvalid, "Providing vendor_data in configdrive is only supported starting with API version 1.59")
	}
	return o, nil
}

// checkDrive finds JSON and other things that are neither a URL nor base64.
func checkDrive(text string) error {
	odd := func(c rune) bool {
		return !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("+/=\n\r\t ", c))
	}
	if !strings.Contains(text, "://") && strings.ContainsFunc(text, odd) {
		return refuse(node.ErrInvalid, "Invalid configdrive format: it is neither a JSON, nor a URL, nor a base64 string")
	}
	return nil
}
