package node

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Limits of Ironic's database columns and options.
const (
	maxText        = 255
	maxDescription = 4096
	maxLastError   = 4096 // log_in_db_max_size
	maxTraits      = 50
	// maxRecord keeps a record well below the 1.5 MiB that etcd takes in one
	// request.
	maxRecord = 1 << 20
)

var (
	nameRule  = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
	groupRule = regexp.MustCompile(`^[a-z0-9_.-]*$`)
	macRule   = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)
	// traitRule takes every CUSTOM_ trait and all that has the shape of a standard
	// one: a name space of os-traits, then its characters. So it takes some that no
	// release of os-traits knows, and needs no list that has to be kept up.
	traitRule = regexp.MustCompile(`^(CUSTOM|COMPUTE|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+$`)
)

// reserved are the words that stand in a path where a name could stand.
var reserved = map[Kind][]string{
	KindNode: {
		"allocation", "bios", "children", "console", "detail", "firmware", "history", "inventory",
		"maintenance", "management", "portgroups", "ports", "states", "traits", "validate",
		"vendor_passthru", "vifs", "vmedia", "volume",
	},
	KindPort:      {"detail"},
	KindPortgroup: {"detail", "ports"},
}

// problems collects what is wrong with a record, field by field.
type problems []FieldError

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, FieldError{field, fmt.Sprintf(format, args...)})
}

// err answers nil or all that was collected.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &ValidationError{Fields: p}
}

// text checks a string that may be empty.
func (p *problems) text(field, value string, limit int) {
	if len(value) > limit {
		p.add(field, "is %d bytes long; use at most %d", len(value), limit)
	}
}

// need checks a string that must be there.
func (p *problems) need(field, value string, limit int) {
	if value == "" {
		p.add(field, "is required")
	}
	p.text(field, value, limit)
}

// name checks a logical name, which may be empty.
func (p *problems) name(kind Kind, value string) {
	switch {
	case value == "":
	case len(value) > maxText:
		p.text("name", value, maxText)
	case !nameRule.MatchString(value):
		p.add("name", "use only letters, digits and the characters - . _ ~")
	case value == "." || value == "..":
		p.add("name", "may not be %q, which means something else in a path", value)
	case uuid.Validate(value) == nil: // also without hyphens, as in Ironic
		p.add("name", "may not look like a uuid")
	case slices.Contains(reserved[kind], value):
		p.add("name", "%q is a reserved word of the API; choose another", value)
	}
}

// uuid checks a uuid that may be empty unless it is needed.
func (p *problems) uuid(field, value string, needed bool) {
	switch {
	case value == "" && needed:
		p.add(field, "is required")
	case value != "" && canonicalUUID(value) != value:
		p.add(field, "must be a uuid such as 1be26c0b-03f2-4d2e-ae87-c02d7f33c123")
	}
}

// mac checks a MAC address that may be empty unless it is needed.
func (p *problems) mac(value string, needed bool) {
	switch {
	case value == "" && needed:
		p.add("address", "is required")
	case value != "" && !macRule.MatchString(value):
		p.add("address", "must be a MAC address such as 52:54:00:cf:2d:31")
	}
}

// count checks a number in an object that must be a whole one and not below
// zero, if it is there; a string of digits counts as a number.
func (p *problems) count(o Object, key string) {
	v, ok := o[key]
	if !ok || v == nil || v == "" {
		return
	}
	good := false
	switch v := v.(type) {
	case json.Number:
		_, err := strconv.ParseUint(v.String(), 10, 63)
		good = err == nil
	case string:
		_, err := strconv.ParseUint(strings.TrimSpace(v), 10, 63)
		good = err == nil
	case float64:
		good = v >= 0 && v == math.Trunc(v)
	case int:
		good = v >= 0
	case int64:
		good = v >= 0
	}
	if !good {
		p.add("properties/"+key, "must be a whole number, 0 or more")
	}
}

// IsUUID says whether the text is a uuid in the form that records use, upper
// or lower case. Everything else in a path is a name.
//
// Ironic: oslo_utils.uuidutils.is_uuid_like.
func IsUUID(text string) bool { return canonicalUUID(text) != "" }

// canonicalUUID answers the lower-case form with hyphens, or "" for a text
// that is no uuid in the form of 36 characters.
func canonicalUUID(text string) string {
	u, err := uuid.Parse(text)
	if len(text) != 36 || err != nil {
		return ""
	}
	return u.String()
}

// isTrait says whether the text can be a trait of a node.
//
// Ironic: api/controllers/v1/utils.py, TRAITS_SCHEMA.
func isTrait(text string) bool { return len(text) <= maxText && traitRule.MatchString(text) }

// normalUUID brings a uuid to lower case and leaves other text to Validate.
func normalUUID[S ~string](text *S) {
	if c := canonicalUUID(string(*text)); c != "" {
		*text = S(c)
	}
}

// normalMAC brings a MAC address to the form that records use.
func normalMAC(text string) string { return strings.ToLower(strings.TrimSpace(text)) }
