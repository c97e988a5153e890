package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// provisionVerb is a verb of a node's provisioning.
type provisionVerb struct {
	verb, short string
	target      nodes.TargetProvisionState
	becomes     string                // the state that it leads to; "": that depends
	end         func(ref string) over // when that depends

	steps    string // the field of its steps; "": it takes none
	alone    bool   // its steps are all that it does: those given, or of a runbook
	drive    bool   // it takes a config drive
	password bool   // it takes a password
}

var provisionVerbs = []provisionVerb{
	{verb: "manage", short: "Take nodes under management, and find out whether they can be commanded", target: nodes.TargetManage, becomes: "manageable"},
	{verb: "inspect", short: "Find out what nodes are made of", target: nodes.TargetInspect, becomes: "manageable"},
	{verb: "provide", short: "Clean nodes and make them available", target: nodes.TargetProvide, becomes: "available"},
	{verb: "adopt", short: "Take over nodes that run a workload already", target: nodes.TargetAdopt, becomes: "active"},
	{verb: "deploy", short: "Deploy the workload that instance_info describes", target: nodes.TargetActive, becomes: "active", steps: "deploy_steps", drive: true},
	{verb: "rebuild", short: "Deploy the workload anew", target: nodes.TargetRebuild, becomes: "active", steps: "deploy_steps", drive: true},
	{verb: "undeploy", short: "Take the workload away, clean nodes and make them available", target: nodes.TargetDeleted, becomes: "available"},
	{verb: "clean", short: "Run clean steps on nodes that are manageable", target: nodes.TargetClean, becomes: "manageable", steps: "clean_steps", alone: true},
	{verb: "service", short: "Run service steps on nodes that are active", target: nodes.TargetService, becomes: "active", steps: "service_steps", alone: true},
	{verb: "rescue", short: "Boot nodes into a rescue system", target: nodes.TargetRescue, becomes: "rescue", password: true},
	{verb: "unrescue", short: "Boot nodes back out of the rescue system", target: nodes.TargetUnrescue, becomes: "active"},
	{verb: "abort", short: "Give up what nodes are at and wait for", target: nodes.TargetAbort, end: isGivenUp},
	{verb: "unhold", short: "Let nodes go on that a hold step has stopped", target: nodes.TargetUnhold, end: goesOn},
}

// provisionRequest is the body of a request for a verb. gophercloud's own knows
// neither disable_ramdisk nor runbook, nor all that a step may have.
type provisionRequest map[string]any

// ToProvisionStateMap makes it one of gophercloud's.
func (r provisionRequest) ToProvisionStateMap() (map[string]any, error) { return r, nil }

// provisioning is a verb with its flags.
type provisioning struct {
	provisionVerb
	wait           waiting
	steps, runbook string
	disableRamdisk bool
	drive          string
	passwordFile   string
}

func (n *nodeVerbs) provisionCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, v := range provisionVerbs {
		o := &provisioning{provisionVerb: v}
		c := &cobra.Command{
			Use: v.verb + " NODE...", Short: v.short, Long: v.long(), Args: atLeast(1), ValidArgsFunction: n.completeNodes,
			RunE: func(c *cobra.Command, args []string) error {
				body, err := o.body(c.Context(), n.program)
				if err != nil {
					return err
				}
				return n.provision(c.Context(), args, o, body)
			},
		}
		o.flags(c.Flags())
		all = append(all, c)
	}
	return all
}

func (v provisionVerb) long() string {
	text := v.short + ".\n\n"
	if v.becomes != "" {
		text += fmt.Sprintf("In the end a node is %q. ", v.becomes)
	}
	text += `The verb ends as soon as a conductor has begun with it. With
--wait it ends with the work: with 0 if all went well, with 1 and the node's last
error if not, and with 5 if it was not over in time. Ctrl-C ends the waiting, and
not the work.`
	if v.steps != "" {
		text += "\n\nSteps are a list, in JSON or YAML"
		if v.alone {
			text += `, and run in its order:

  [{"interface": "deploy", "step": "erase_devices"}]`
		} else {
			text += `. They run by their priority, highest first, among
those of the driver; one that the driver has too stands for that, and with priority
0 drops it:

  [{"interface": "deploy", "step": "write_image", "priority": 80}]`
		}
		text += `

The steps hold, wait, power_on, power_off and reboot are there for every node: hold
stops until "conductor node unhold".`
	}
	return text
}

func (o *provisioning) flags(f *pflag.FlagSet) {
	o.wait.flags(f)
	own := func(name, help string, into *string) {
		f.StringVar(into, name, "", help)
		annotate(f, name, fromCommandLineOnly)
	}
	if o.provisionVerb.steps != "" {
		own("steps", "the steps to run: a file, - or the list itself", &o.steps)
	}
	if o.alone {
		own("runbook", "the steps of this runbook, whose name is a trait of the node", &o.runbook)
	}
	if o.target == nodes.TargetClean { // for service it came after the API that this is for
		f.BoolVar(&o.disableRamdisk, "disable-ramdisk", false, "without booting the agent: for steps that work from outside only")
		annotate(f, "disable-ramdisk", fromCommandLineOnly)
	}
	if o.provisionVerb.drive {
		own("config-drive", "first data for the workload: an image, a directory, a JSON object or a URL", &o.drive)
	}
	if o.password {
		own("password-file", "the password of the rescue system, in a file or - (none: it is asked for)", &o.passwordFile)
	}
}

// body is what the API is asked. Everything that can be wrong here is wrong
// before the first node is asked of.
func (o *provisioning) body(ctx context.Context, p program) (provisionRequest, error) {
	r := provisionRequest{"target": o.target}
	switch {
	case o.steps != "" && o.runbook != "":
		return nil, usage(fmt.Errorf("--steps and --runbook exclude each other"))
	case o.runbook != "":
		r["runbook"] = o.runbook
	case o.steps != "":
		steps, err := readSteps(o.steps, p.in, !o.alone)
		if err != nil {
			return nil, usage(fmt.Errorf("--steps: %w", err))
		}
		r[o.provisionVerb.steps] = steps
	case o.alone:
		return nil, usage(fmt.Errorf("%s needs --steps or --runbook", o.verb))
	}
	if o.disableRamdisk {
		r["disable_ramdisk"] = true
	}
	if o.drive != "" {
		drive, err := readConfigDrive(o.drive)
		if err != nil {
			return nil, usage(fmt.Errorf("--config-drive: %w", err))
		}
		r["configdrive"] = drive
	}
	if o.password {
		password, err := p.password(ctx, o.passwordFile)
		if err != nil && ctx.Err() == nil {
			err = usage(fmt.Errorf("--password-file: %w", err))
		}
		if err != nil {
			return nil, err
		}
		r["rescue_password"] = password
	}
	return r, nil
}

func (n *nodeVerbs) provision(ctx context.Context, refs []string, o *provisioning, body provisionRequest) error {
	s := newScreen(n.err)
	return n.each(ctx, refs, s, func(ctx context.Context, ref string) (string, error) {
		if err := nodes.ChangeProvisionState(ctx, n.client.api(), url.PathEscape(ref), body).ExtractErr(); err != nil {
			return "", err
		}
		if !o.wait.asked() {
			return fmt.Sprintf("%s: %s accepted", ref, o.verb), nil
		}
		end := o.end
		if o.becomes != "" {
			end = func(ref string) over { return becomes(ref, o.becomes) }
		}
		return n.await(ctx, ref, s, o.wait, stage, end(ref))
	})
}
