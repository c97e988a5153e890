package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/conductor-metal/conductor/pkg/node"
)

var errModel = errors.New("the model refuses")

// modelApply is RFC 6902 in a few lines, for the three operations that are known.
func modelApply(doc any, parts []string, o operation, value any) (any, error) {
	last := len(parts) == 1
	switch in := doc.(type) {
	case map[string]any:
		child, there := in[parts[0]]
		switch {
		case !last && !there, last && o.Op != "add" && !there:
			return nil, errModel
		case last && o.Op == "remove":
			delete(in, parts[0])
			return in, nil
		case last:
			in[parts[0]] = value
			return in, nil
		}
		made, err := modelApply(child, parts[1:], o, value)
		in[parts[0]] = made
		return in, err
	case []any:
		i, err := strconv.Atoi(parts[0])
		if last && o.Op == "add" && parts[0] == "-" {
			i, err = len(in), nil
		}
		if err != nil || i < 0 || i > len(in) || i == len(in) && !(last && o.Op == "add") {
			return nil, errModel
		}
		switch {
		case last && o.Op == "remove":
			return slices.Delete(in, i, i+1), nil
		case last && o.Op == "add":
			return slices.Insert(in, i, value), nil
		case last:
			in[i] = value
			return in, nil
		}
		in[i], err = modelApply(in[i], parts[1:], o, value)
		return in, err
	}
	return nil, errModel
}

// TestPatchesFollowTheModel compares what becomes of the free object of a node
// with what the standard says should.
func TestPatchesFollowTheModel(t *testing.T) {
	nodes := (&api{cfg: Config{Lists: (*node.Store)(nil)}}).nodes()
	keys := rapid.SampledFrom([]string{"a", "b", "c/d", "e~f", "0", "1", "2", "-", "null", "~1"})
	values := rapid.SampledFrom([]string{`1`, `null`, `"x"`, `{}`, `[]`, `[1,[2],{"a":3}]`, `{"a":{"b":[1,2,3]},"c/d":null}`, `true`, `1.50`})
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	rapid.Check(t, func(t *rapid.T) {
		old := secretive()
		var model any = map[string]any{}
		if err := json.Unmarshal([]byte(`{"extra": `+string(mustMarshal(t, old.Extra))+`}`), &model); err != nil {
			t.Fatal(err)
		}
		var patch []string
		var failed error
		for range rapid.IntRange(0, 6).Draw(t, "operations") {
			parts := append([]string{"extra"}, rapid.SliceOfN(keys, 1, 4).Draw(t, "path")...)
			o := operation{Op: rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op"), Path: ""}
			text := values.Draw(t, "value")
			for _, p := range parts {
				o.Path += "/" + escape.Replace(p)
			}
			patch = append(patch, fmt.Sprintf(`{"op": %q, "path": %q, "value": %s}`, o.Op, o.Path, text))
			var value any
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			if failed == nil {
				_, failed = modelApply(model, parts, o, value)
			}
		}
		e, err := nodes.parseEdit([]byte("["+strings.Join(patch, ",")+"]"), newest)
		if err != nil {
			t.Fatalf("%v: %v", patch, err)
		}
		n, _, err := nodes.amend(old, e)
		if (err == nil) != (failed == nil) {
			t.Fatalf("%v: %v, and the model %v", patch, err, failed)
		}
		if err != nil {
			return
		}
		var got any
		if err := json.Unmarshal(mustMarshal(t, n.Extra), &got); err != nil {
			t.Fatal(err)
		}
		if want := model.(map[string]any)["extra"]; !cmp.Equal(want, got) {
			t.Fatalf("%v: -want +got\n%s", patch, cmp.Diff(want, got))
		}
	})
}

func mustMarshal(t *rapid.T, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
