package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/internal/provision"
)

func provisionSettings(t *testing.T, args ...string) (*provisionOptions, error) {
	t.Helper()
	o := &provisionOptions{}
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	o.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o, o.check()
}

func TestProvisionSettings(t *testing.T) {
	defaults := provision.Config{
		Host: "c1", PowerTimeout: time.Minute, SoftPowerTimeout: 10 * time.Minute, MaxConcurrentDeploy: 250, MaxConcurrentClean: 50,
		MaxConductorWaitStep: 30 * time.Second, DeployCallbackTimeout: 30 * time.Minute, CleanCallbackTimeout: 30 * time.Minute,
		RescueCallbackTimeout: 30 * time.Minute, ServiceCallbackTimeout: 30 * time.Minute, InspectWaitTimeout: 30 * time.Minute, SweepInterval: time.Minute,
	}
	for _, c := range []struct {
		args   string
		change func(*provision.Config)
	}{
		{"", func(*provision.Config) {}},
		{"--deploy-callback-timeout 0 --clean-callback-timeout 1m", func(c *provision.Config) {
			c.DeployCallbackTimeout, c.CleanCallbackTimeout = -1, time.Minute
		}},
		{"--rescue-callback-timeout 2m --service-callback-timeout 3m --inspect-wait-timeout 4m --fast-track", func(c *provision.Config) {
			c.RescueCallbackTimeout, c.ServiceCallbackTimeout, c.InspectWaitTimeout = 2*time.Minute, 3*time.Minute, 4*time.Minute
			c.FastTrack = true
		}},
		{"--automated-clean=false", func(c *provision.Config) { c.NoAutomatedClean = true }},
		{"--provision-in-maintenance=false", func(c *provision.Config) { c.RefuseInMaintenance = true }},
		{"--max-concurrent-deploy -1 --max-concurrent-clean 7", func(c *provision.Config) { c.MaxConcurrentDeploy, c.MaxConcurrentClean = -1, 7 }},
		{"--check-provision-interval 5s", func(c *provision.Config) { c.SweepInterval = 5 * time.Second }},
		{"--power-timeout 9s --soft-power-timeout 8s --max-wait-step 7s", func(c *provision.Config) {
			c.PowerTimeout, c.SoftPowerTimeout, c.MaxConductorWaitStep = 9*time.Second, 8*time.Second, 7*time.Second
		}},
	} {
		o, err := provisionSettings(t, strings.Fields(c.args)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		want := defaults
		c.change(&want)
		if diff := cmp.Diff(want, o.config(provision.Config{Host: "c1"})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.args, diff)
		}
	}
}

func TestProvisionSettingsRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--max-concurrent-deploy 0": "--max-concurrent-deploy is 0", "--max-concurrent-clean -2": "--max-concurrent-clean is -2",
		"--power-timeout 0s": "--power-timeout is 0s", "--soft-power-timeout -1s": "--soft-power-timeout is -1s", "--max-wait-step 0s": "--max-wait-step is 0s",
		"--clean-callback-timeout -1s": "--clean-callback-timeout is -1s",
	} {
		if _, err := provisionSettings(t, strings.Fields(args)...); exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want wrong usage and %q", args, err, want)
		}
	}
	if code, _, errs := runAs(t, nil, "serve", "--max-concurrent-clean", "0", "--data-dir", t.TempDir()); code != exitUsage || !strings.Contains(errs, "--max-concurrent-clean") {
		t.Errorf("serve: got code %d and %q", code, errs)
	}
}
