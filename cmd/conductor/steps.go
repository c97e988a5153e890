package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxInput is the most that is read from a file for a request: a conductor takes no more.
const maxInput = 1 << 20

// argument is what an argument names: the text itself if it looks like a list or
// an object, the standard input for "-", and else a file.
func argument(text string, in io.Reader) ([]byte, error) {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{") {
		return []byte(text), nil
	}
	if text == "-" {
		return bounded("the standard input", in)
	}
	f, err := os.Open(text)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bounded(text, f)
}

func bounded(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("%s has more than %d bytes", name, maxInput)
	}
	return data, err
}

// readSteps reads a list of steps, in JSON or YAML. Those that run among others
// need a priority. What else a step may have, the conductor knows.
func readSteps(text string, in io.Reader, amongOthers bool) ([]map[string]any, error) {
	data, err := argument(text, in)
	if err != nil {
		return nil, err
	}
	var steps []map[string]any
	if err := yaml.Unmarshal(data, &steps); err != nil { // JSON is YAML
		return nil, fmt.Errorf("want a list of steps: %w", err)
	}
	if len(steps) == 0 {
		return nil, errors.New("there is no step")
	}
	for i, step := range steps {
		for _, key := range []string{"interface", "step"} {
			if name, _ := step[key].(string); name == "" {
				return nil, fmt.Errorf("step %d has no %q", i+1, key)
			}
		}
		if !amongOthers {
			continue
		}
		if step["priority"] == nil {
			return nil, fmt.Errorf("step %d has no \"priority\": the highest runs first, and 0 not at all", i+1)
		}
		if step["args"] == nil {
			step["args"] = map[string]any{} // that there are none has to be said
		}
	}
	return steps, nil
}
