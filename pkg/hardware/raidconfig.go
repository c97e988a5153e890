package hardware

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// diskProperty is a property of a logical disk in a RAID configuration.
type diskProperty struct {
	text string           // what it means
	form string           // what a value must be
	fits func(v any) bool // whether a value is
	need bool             // it must be there
	with string           // another property that must be there with it
}

var raidLevels = []string{"JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0"}

// diskProperties are all that there are. Ironic: raid_config_schema.json.
func diskProperties() map[string]diskProperty {
	one := func(of ...string) (string, func(any) bool) {
		return "one of " + strings.Join(of, ", "), func(v any) bool {
			s, ok := v.(string)
			return ok && slices.Contains(of, s)
		}
	}
	level, isLevel := one(raidLevels...)
	disk, isDisk := one("hdd", "ssd")
	bus, isBus := one("sata", "scsi", "sas")
	truth := func(v any) bool { _, ok := v.(bool); return ok }
	text := func(v any) bool { _, ok := v.(string); return ok }
	return map[string]diskProperty{
		"size_gb": {
			text: "The size in GiB, or MAX for all that is left. Required.", form: "a whole number that is not negative, or MAX", need: true,
			fits: func(v any) bool { n, ok := whole(v); return v == "MAX" || ok && n >= 0 },
		},
		"raid_level": {text: "The level: " + strings.Join(raidLevels, ", ") + ". Required.", form: level, fits: isLevel, need: true},
		"volume_name": {
			text: "The name of the volume. Without one the driver makes it up.", form: "text", fits: text,
		},
		"is_root_volume":       {text: "Whether the disk is the root device; false if not given. At most one is.", form: "true or false", fits: truth},
		"share_physical_disks": {text: "Whether other logical disks may use the same physical disks; false if not given.", form: "true or false", fits: truth},
		"disk_type":            {text: "The type of the physical disks: hdd or ssd. Without it any will do.", form: disk, fits: isDisk},
		"interface_type":       {text: "The bus of the physical disks: sata, scsi or sas. Without it any will do.", form: bus, fits: isBus},
		"number_of_physical_disks": {
			text: "How many physical disks to use. Without it as few as the level allows.", form: "a whole number above 0",
			fits: func(v any) bool { n, ok := whole(v); return ok && n > 0 },
		},
		"controller": {text: "The controller to use. Without it the driver chooses.", form: "text", fits: text},
		"physical_disks": {
			text: "The physical disks to use, which needs the controller too. Without it the driver chooses.",
			form: "a list of names, or of two or more objects", fits: physicalDisks, with: "controller",
		},
	}
}

// whole reads a JSON number that has no fraction.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	case float64:
		return int64(v), v == float64(int64(v))
	case int:
		return int64(v), true
	}
	return 0, false
}

func physicalDisks(v any) bool {
	all, ok := v.([]any)
	if !ok {
		return false
	}
	var names, objects int
	for _, d := range all {
		switch d.(type) {
		case string:
			names++
		case map[string]any:
			objects++
		}
	}
	return names == len(all) || objects == len(all) && objects >= 2
}

// logicalDisk names the properties with what they mean.
func logicalDisk() map[string]string {
	out := map[string]string{}
	for name, p := range diskProperties() {
		out[name] = p.text
	}
	return out
}

// CheckRAIDConfig checks the form of a target configuration: a list of logical
// disks under logical_disks and nothing else, each with its size and level, and
// at most one the root volume. The error, if any, is an ErrInvalidParameter
// that names the place. Ironic: raid.validate_configuration.
func CheckRAIDConfig(config map[string]any) error {
	for name := range config {
		if name != "logical_disks" {
			return badRAID("%q is unknown; use logical_disks", name)
		}
	}
	disks, ok := config["logical_disks"].([]any)
	if !ok || len(disks) == 0 {
		return badRAID("logical_disks must be a list of at least one disk")
	}
	known, roots := diskProperties(), 0
	for i, v := range disks {
		disk, ok := v.(map[string]any)
		if !ok {
			return badRAID("logical_disks/%d must be an object", i)
		}
		if err := checkDisk(i, disk, known); err != nil {
			return err
		}
		if disk["is_root_volume"] == true {
			roots++
		}
	}
	if roots > 1 {
		return badRAID("there are %d root volumes; choose one", roots)
	}
	return nil
}

func checkDisk(i int, disk map[string]any, known map[string]diskProperty) error {
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(disk)) {
		p, ok := known[name]
		if !ok {
			return badRAID("logical_disks/%d/%s is unknown; a disk has %s", i, name, list(names))
		}
		if !p.fits(disk[name]) {
			return badRAID("logical_disks/%d/%s must be %s", i, name, p.form)
		}
		if _, there := disk[p.with]; p.with != "" && !there {
			return badRAID("logical_disks/%d/%s needs %s too", i, name, p.with)
		}
	}
	for _, name := range names {
		if _, there := disk[name]; known[name].need && !there {
			return badRAID("logical_disks/%d/%s is required", i, name)
		}
	}
	return nil
}

func badRAID(format string, args ...any) error {
	return fmt.Errorf("%w: RAID configuration: %s", ErrInvalidParameter, fmt.Sprintf(format, args...))
}
