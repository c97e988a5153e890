package provision_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// waiting tells the fakes what to leave to the machine.
func waiting(calls ...string) func(*node.Node) {
	var list []any
	for _, c := range calls {
		list = append(list, c)
	}
	return driverInfo(hardware.WaitsKey, list)
}

// biosStep is a clean step that may not be aborted.
func biosStep() hardware.Step {
	return step("bios", "apply_configuration", "settings", []any{object{"name": "a", "value": "b"}})
}

// stepped asks for a verb with steps.
func (c *cluster) stepped(v provision.Verb, all ...hardware.Step) provision.Request {
	r := c.request(v)
	r.Steps = all
	return r
}

// The steps of a user run in his order; which one it is, stands in the record
// while it runs, and nothing of it afterwards.
func TestStepsAreStoredBeforeTheyRun(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 10 * time.Second})
		names := []string{"vendor.log_passthrough", "bios.apply_configuration", "power.power_on", "bios.factory_reset"}
		all := []hardware.Step{step("vendor", "log_passthrough"), biosStep(), step("power", "power_on"), step("bios", "factory_reset")}
		if err := p.Do(t.Context(), c.stepped(provision.Clean, all...)); err != nil {
			t.Fatal(err)
		}
		var seen []string
		for i := 0; c.read(t).ProvisionState != node.StateManageable; i++ {
			n := c.read(t)
			name := n.CleanStep.Text("interface") + "." + n.CleanStep.Text("step")
			if name != "." && !slices.Contains(seen, name) {
				if got, want := n.DriverInternalInfo.Text("clean_step_index"), fmt.Sprint(len(seen)); got != want {
					t.Errorf("%s has index %s, want %s", name, got, want)
				}
				seen = append(seen, name)
			}
			if i > 100 {
				t.Fatalf("stays %q", n.ProvisionState)
			}
			time.Sleep(time.Second)
		}
		if !slices.Equal(seen, names) {
			t.Errorf("ran %q, want %q", seen, names)
		}
		if got, want := c.sent(), "vendor.log_passthrough, bios.apply_configuration, power.Set power on, bios.factory_reset"; got != want {
			t.Errorf("sent %q", got)
		}
		settle() // until the lock is gone too
		n := c.read(t)
		resting(t, n, node.StateManageable)
		if n.PowerState != node.PowerOn || n.CleanStep != nil || n.DriverInternalInfo["clean_steps"] != nil || n.DriverInternalInfo["clean_step_index"] != nil {
			t.Errorf("left behind: %q, %v, %v", n.PowerState, n.CleanStep, n.DriverInternalInfo)
		}
		c.unlocked(t)
	})
}

// offering is a deploy interface with steps of the test's.
type offering struct {
	hardware.Deploy
	steps []hardware.Step
	ran   *[]string
}

func (o offering) Validate(context.Context, *node.Node) error { return nil }
func (o offering) Prepare(context.Context, *node.Node) error  { return nil }
func (o offering) CleanUp(context.Context, *node.Node) error  { return nil }

func (o offering) Steps(_ context.Context, _ *node.Node, kind hardware.StepKind) ([]hardware.Step, error) {
	if kind != hardware.DeployStep {
		return nil, nil
	}
	return o.steps, nil
}

func (o offering) RunStep(_ context.Context, _ *node.Node, s hardware.Step) (hardware.Outcome, error) {
	*o.ran = append(*o.ran, s.Name+fmt.Sprint(s.Args))
	return hardware.Done, nil
}

func TestDeploySteps(t *testing.T) {
	offers := func(name string, priority int) hardware.Step {
		return hardware.Step{
			Interface: "deploy", Name: name, Priority: priority, Kind: hardware.DeployStep,
			ArgsInfo: map[string]hardware.ArgInfo{"by": {}},
		}
	}
	asked := func(name string, priority int, by string) hardware.Step {
		return hardware.Step{Interface: "deploy", Name: name, Priority: priority, Args: map[string]any{"by": by}}
	}
	tests := []struct {
		name     string
		traits   []any
		template []hardware.Step
		user     []hardware.Step
		want     string
	}{
		{"the driver's own, by priority", nil, nil, nil, "a[], b[]"},
		{"the user's too", nil, nil, []hardware.Step{asked("c", 75, "user")}, "a[], c[by:user], b[]"},
		{"the user's win over the driver's", nil, nil, []hardware.Step{asked("b", 200, "user")}, "b[by:user], a[]"},
		{"priority 0 drops a step", nil, nil, []hardware.Step{asked("a", 0, "user")}, "b[]"},
		{"a template whose trait is not asked for", nil, []hardware.Step{asked("c", 75, "template")}, nil, "a[], b[]"},
		{"a template", []any{"CUSTOM_RAID"}, []hardware.Step{asked("c", 75, "template"), asked("a", 10, "template")}, nil, "c[by:template], b[], a[by:template]"},
		{"the user's win over a template", []any{"CUSTOM_RAID"}, []hardware.Step{asked("c", 75, "template")}, []hardware.Step{asked("c", 1, "user")}, "a[], b[], c[by:user]"},
		{"nothing is left", nil, nil, []hardware.Step{asked("a", 0, ""), asked("b", 0, "")}, "no deploy steps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := func(n *node.Node) {
				n.DeployInterface, n.Traits = "offering", []string{"CUSTOM_RAID"}
				if tt.traits != nil {
					n.InstanceInfo = node.Object{"traits": tt.traits}
				}
			}
			inBubble(t, in(node.StateAvailable, change), func(t *testing.T, c *cluster) {
				var ran []string
				c.kit.Deploy = map[string]hardware.Deploy{"offering": offering{
					steps: []hardware.Step{offers("b", 50), offers("a", 100), offers("c", 0)}, ran: &ran,
				}}
				p, _ := c.configured(t, "c1", provision.Config{Templates: func(_ context.Context, traits []string) ([]hardware.Step, error) {
					if !slices.Equal(traits, []string{"CUSTOM_RAID"}) {
						t.Errorf("templates for %q", traits)
					}
					return tt.template, nil
				}})
				n := c.do(t, p, c.stepped(provision.Deploy, tt.user...))
				got := strings.ReplaceAll(strings.Join(ran, ", "), "map", "")
				if n.ProvisionState == node.StateDeployFailed {
					got = n.LastError
				}
				if got != tt.want && !(strings.Contains(got, "there are") && strings.Contains(got, tt.want)) {
					t.Errorf("ran %q, want %q", got, tt.want)
				}
				if n.DeployStep != nil || n.DriverInternalInfo["deploy_steps"] != nil {
					t.Errorf("left behind: %v, %v", n.DeployStep, n.DriverInternalInfo)
				}
				c.unlocked(t)
			})
		})
	}
}

// The reserved steps set a power state, hold, and wait.
func TestReservedSteps(t *testing.T) {
	tests := []struct {
		step hardware.Step
		sent string
		to   node.ProvisionState
		took time.Duration
	}{
		{step("power", "power_on"), "power.Set power on", node.StateManageable, 0},
		{step("power", "power_off"), "", node.StateManageable, 0}, // there already
		{step("power", "reboot"), "power.Reboot rebooting", node.StateManageable, 0},
		{step("power", "hold"), "", node.StateCleanHold, 0},
		{step("power", "wait"), "", node.StateCleanWait, 0},
		{step("power", "wait", "seconds", 5), "", node.StateManageable, 5 * time.Second},
		{step("power", "wait", "seconds", "7"), "", node.StateManageable, 7 * time.Second},
		{step("power", "wait", "seconds", 3600), "", node.StateManageable, 30 * time.Second}, // no longer than that
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.step.Name, tt.step.Args), func(t *testing.T) {
			inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				if err := p.Do(t.Context(), c.stepped(provision.Clean, tt.step)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				synctest.Wait()
				if tt.took > 0 {
					if n := c.read(t); n.ProvisionState != node.StateCleanWait || n.TargetProvisionState != node.StateManageable {
						t.Errorf("meanwhile %q, target %q", n.ProvisionState, n.TargetProvisionState)
					}
				}
				for c.read(t).ProvisionState != tt.to && time.Since(start) < time.Minute {
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(start); took < tt.took || took > tt.took+time.Second {
					t.Errorf("took %s, want %s: %q", took, tt.took, c.read(t).ProvisionState)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q", got)
				}
				settle()
				c.unlocked(t)
			})
		})
	}
}

// What is switched off is for the reserved step too what must not be.
func TestReservedStepFails(t *testing.T) {
	inBubble(t, in(node.StateManageable, func(n *node.Node) { n.DisablePowerOff = true }), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		n := c.do(t, p, c.stepped(provision.Clean, step("vendor", "log_passthrough"), step("power", "power_off")))
		if n.ProvisionState != node.StateCleanFailed || !strings.Contains(n.LastError, "power.power_off (2 of 2)") || n.TargetProvisionState != node.StateManageable {
			t.Errorf("%q, target %q: %s", n.ProvisionState, n.TargetProvisionState, n.LastError)
		}
	})
}

// A clean without a ramdisk prepares none, and takes none away.
func TestDisableRamdisk(t *testing.T) {
	inBubble(t, in(node.StateManageable, failing("deploy.PrepareCleaning", "deploy.TearDownCleaning")), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		r := c.request(provision.Clean)
		r.DisableRamdisk = true
		resting(t, c.do(t, p, r), node.StateManageable)
		r.DisableRamdisk = false // it is not remembered
		if n := c.do(t, p, r); n.ProvisionState != node.StateCleanFailed || !strings.Contains(n.LastError, "PrepareCleaning broke") {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
	})
}
