package provision

import (
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The faults that put a node into maintenance. Ironic: common/faults.py.
const (
	faultClean       = "clean failure"
	faultService     = "service failure"
	faultRescueAbort = "rescue abort failure"
)

// allFlows is the table of what goes on in which states.
func (p *Provisioner) allFlows() flows {
	f := flows{
		verify: &flow{
			name: "verification", running: node.StateVerifying, kind: hardware.VerifyStep,
			begin: p.verify, end: p.verified,
		},
		inspect: &flow{
			name: "inspection", running: node.StateInspecting, waiting: node.StateInspectWait,
			begin: p.inspect, goOn: done, late: p.abandonInspection,
		},
		clean: &flow{
			name: "cleaning", running: node.StateCleaning, waiting: node.StateCleanWait, held: node.StateCleanHold,
			kind: hardware.CleanStep, fault: faultClean, noRamdisk: infoCleanNoRamdisk,
			begin: p.clean, gather: p.cleanSteps, end: p.cleaned, clear: clearCleaning, undo: tearDownCleaning,
		},
		adopt: &flow{
			name: "adoption", running: node.StateAdopting, begin: p.adopt,
			clear: func(n *node.Node) { n.PowerState = "" }, // Ironic: nobody can say any more
		},
		deploy: &flow{
			name: "deployment", running: node.StateDeploying, waiting: node.StateWaitCallBack, held: node.StateDeployHold,
			kind: hardware.DeployStep, begin: p.deploy, gather: p.firstDeployStep, end: p.deployed, clear: dropAgent, undo: cleanUpDeploy,
		},
		remove: &flow{
			name: "tear-down", running: node.StateDeleting,
			begin: p.tearDown, clear: forgetInstance, undo: ClearVIFs,
		},
		rescue: &flow{
			name: "rescue", running: node.StateRescuing, waiting: node.StateRescueWait, undoFault: faultRescueAbort,
			begin: p.rescue, goOn: rescued, clear: clearRescue, undo: cleanUpRescue, late: p.abandonRescue,
		},
		unrescue: &flow{name: "end of the rescue", running: node.StateUnrescuing, begin: p.unrescue},
		service: &flow{
			name: "service", running: node.StateServicing, waiting: node.StateServiceWait, held: node.StateServiceHold,
			kind: hardware.ServiceStep, fault: faultService, undoFault: faultService, noRamdisk: infoServiceNoRamdisk,
			begin: p.service, gather: p.serviceSteps, end: p.serviced, clear: clearService, undo: tearDownService,
		},
	}
	for _, one := range f.all() {
		if one.kind != "" && one.goOn == nil {
			one.goOn = p.nextStep(one)
		}
		if one.late == nil {
			one.late = one.undo
		}
	}
	return f
}
