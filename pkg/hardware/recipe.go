package hardware

import (
	"strings"
	"sync"

	"github.com/conductor-metal/conductor/pkg/node"
)

// recipe is what a composition depends on, if the node's instance_info names no
// interface: the driver and the thirteen fields.
type recipe [14]string

// recipeOf returns the recipe of a node; false if instance_info has a say.
func recipeOf(n *node.Node) (recipe, bool) {
	for key := range n.InstanceInfo {
		if strings.HasSuffix(key, "_interface") {
			return recipe{}, false
		}
	}
	return recipe{
		n.Driver, n.BIOSInterface, n.BootInterface, n.ConsoleInterface, n.DeployInterface, n.FirmwareInterface, n.InspectInterface,
		n.ManagementInterface, n.NetworkInterface, n.PowerInterface, n.RAIDInterface, n.RescueInterface, n.StorageInterface, n.VendorInterface,
	}, true
}

// compositions are those that were made before. Only what a registry knows can be
// made, and nodes differ little in it: there are few.
type compositions struct {
	mu  sync.RWMutex
	all map[recipe]*Composition
}

func (s *compositions) find(r recipe) *Composition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[r]
}

func (s *compositions) keep(r recipe, c *Composition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[recipe]*Composition{}
	}
	s.all[r] = c
}
