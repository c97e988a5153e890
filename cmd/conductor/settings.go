package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A flag that is not given takes its value from the environment, then from the
// file named by --config, and only then has its default. That holds for every
// flag but those below, by one rule: the flag --lease-ttl is CONDUCTOR_LEASE_TTL
// in the environment and lease-ttl in the file.

// fromCommandLineOnly are flags that confirm something, or name the thing that a
// command is about. To inherit them from somewhere would be an accident.
const fromCommandLineOnly = "command-line-only"

// fallbackEnv names further variables of a flag, which count less than the file.
const fallbackEnv = "fallback-env"

// origin says where a value came from, on the flag itself.
const origin = "origin"

func annotate(flags *pflag.FlagSet, name, key string, values ...string) {
	if err := flags.SetAnnotation(name, key, values); err != nil {
		panic(err) // the flag is not defined: a bug in the caller
	}
}

func configurable(f *pflag.Flag) bool {
	_, only := f.Annotations[fromCommandLineOnly]
	return !only && f.Name != "help"
}

func envName(flag string) string {
	return "CONDUCTOR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applySettings gives the flags of c that are not on the command line their values.
func (p program) applySettings(c *cobra.Command, _ []string) error {
	if c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
		return nil
	}
	config := c.Flag("config")
	if err := p.applyFlag(config, nil); err != nil {
		return err
	}
	var file map[string]any
	if path := config.Value.String(); path != "" {
		var err error
		if file, err = readSettings(path, settingNames(c.Root())); err != nil {
			return err
		}
	}
	var errs []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f != config && configurable(f) {
			errs = append(errs, p.applyFlag(f, file))
		}
	})
	return errors.Join(errs...)
}

func (p program) applyFlag(f *pflag.Flag, file map[string]any) error {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	set := func(from string, apply func() error) error {
		f.Annotations[origin] = []string{from}
		if err := apply(); err != nil {
			return usage(fmt.Errorf("%s: %w", from, err))
		}
		return nil
	}
	if f.Changed {
		f.Annotations[origin] = []string{"--" + f.Name}
		return nil
	}
	if text := p.env(envName(f.Name)); text != "" {
		return set("$"+envName(f.Name), func() error { return f.Value.Set(text) })
	}
	if value, ok := file[f.Name]; ok {
		return set("--config: "+f.Name, func() error { return setFromYAML(f.Value, value) })
	}
	for _, name := range f.Annotations[fallbackEnv] {
		if text := p.env(name); text != "" {
			return set("$"+name, func() error { return f.Value.Set(text) })
		}
	}
	return nil
}

// settingNames are the names of all flags of all verbs: one file serves them all.
func settingNames(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		add := func(f *pflag.Flag) {
			if configurable(f) && f.Name != "config" {
				names[f.Name] = true
			}
		}
		c.LocalFlags().VisitAll(add)
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	return names
}

// readSettings reads a file of settings and refuses names that nobody knows.
func readSettings(path string, known map[string]bool) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usage(fmt.Errorf("--config: %w", err))
	}
	var file map[string]any
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&file); err != nil && len(bytes.TrimSpace(text)) > 0 {
		return nil, usage(fmt.Errorf("--config %s: %w", path, err))
	}
	for _, name := range slices.Sorted(maps.Keys(file)) {
		if !known[name] {
			return nil, usage(fmt.Errorf("--config %s: there is no setting %q (see conductor config show)", path, name))
		}
	}
	return file, nil
}

// setFromYAML gives a flag a value of the file: a scalar, a list or a map.
func setFromYAML(v pflag.Value, value any) error {
	switch value := value.(type) {
	case []any:
		list, ok := v.(pflag.SliceValue)
		if !ok {
			return errors.New("one value is wanted, and not a list")
		}
		var texts []string
		for _, e := range value {
			texts = append(texts, fmt.Sprint(e))
		}
		return list.Replace(texts)
	case map[string]any:
		if _, ok := v.(pairs); !ok {
			return errors.New("one value is wanted, and not a map")
		}
		for _, k := range slices.Sorted(maps.Keys(value)) {
			if err := v.Set(k + "=" + joined(value[k])); err != nil {
				return err
			}
		}
		return nil
	case nil:
		return errors.New("it has no value")
	}
	return v.Set(fmt.Sprint(value))
}

func joined(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var texts []string
	for _, e := range list {
		texts = append(texts, fmt.Sprint(e))
	}
	return strings.Join(texts, ",")
}
