package provision

import (
	"encoding/json"

	"github.com/conductor-metal/conductor/pkg/node"
)

// The keys of driver_internal_info that do not belong to steps. Ironic's names,
// but for the first two.
const (
	infoWaits       = "wait_generation" // counts how often the node has begun to wait; never goes down
	infoUndeploying = "undeploying_from"

	infoAgentURL      = "agent_url"
	infoAgentVersion  = "agent_version"
	infoAgentSeen     = "agent_last_heartbeat"
	infoAgentToken    = "agent_secret_token"
	infoAgentVerifyCA = "agent_verify_ca"
	infoTokenMade     = "agent_secret_token_pregenerated"
	infoLessee        = "automatic_lessee"

	infoCleanNoRamdisk   = "cleaning_disable_ramdisk"
	infoServiceNoRamdisk = "servicing_disable_ramdisk"
)

// ofAgent are what the node knows of an agent that is gone once it is switched off.
var ofAgent = []string{
	infoAgentToken, "agent_cached_deploy_steps", "agent_cached_clean_steps", "agent_cached_service_steps", infoAgentVerifyCA,
}

// ofInstance are what the node knows of an instance that is gone once it is torn
// down. Ironic: what tear-down drops besides the deploy steps.
var ofInstance = []string{
	"user_deploy_steps", "steps_validated", "is_whole_disk_image", "root_uuid_or_disk_id", "deploy_boot_mode",
	"instance", infoLessee, infoUndeploying,
}

func keep(n *node.Node, key string, value any) {
	if n.DriverInternalInfo == nil {
		n.DriverInternalInfo = node.Object{}
	}
	n.DriverInternalInfo[key] = value
}

func drop(n *node.Node, keys ...string) {
	for _, key := range keys {
		delete(n.DriverInternalInfo, key)
	}
}

// number reads a whole number, as it was put or as it came back from etcd.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case json.Number:
		i, err := v.Int64()
		return i, err == nil
	}
	return 0, false
}

// generation counts the waits of a node.
func generation(n *node.Node) int64 {
	i, _ := number(n.DriverInternalInfo[infoWaits])
	return i
}

func countWait(n *node.Node) { keep(n, infoWaits, generation(n)+1) }

// dropAgent forgets the agent on the machine, whom nobody must call any more.
func dropAgent(n *node.Node) {
	drop(n, infoAgentURL)
	if n.DriverInternalInfo[infoTokenMade] != true {
		drop(n, ofAgent...)
	}
}
