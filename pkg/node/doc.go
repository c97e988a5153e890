// Package node holds what is known of bare metal nodes: their records, where
// these lie in etcd, which changes of them are legal, and the machine of
// their provision states. It knows nothing of locks; a lock adds its own
// proof to the changes that are built here.
//
// # States
//
// A node stands in one of 30 provision states; 18 events lead from one to
// another by 93 transitions. Table, targets and sets are those of OpenStack
// Ironic, and a test compares them with a dump of Ironic's own machine. A
// Machine is one task's private copy: NewMachine starts it from a record,
// Fire moves it, and the task writes State and Target back.
//
// # Records
//
// Node, Port, Portgroup, VolumeConnector and VolumeTarget are plain structs, and
// so are Allocation, DeployTemplate, Runbook and Chassis, which belong to no node.
// In etcd each is one line of JSON with Ironic's field names, in the order of
// the struct; what is not set is left out, an empty object is {}. Who holds
// the node (reservation) and who serves it (conductor) is derived from locks
// and membership, and not stored. Meta tells when a record was written, and
// by which holder of a lock. The secrets in driver_info and elsewhere are
// stored in clear text, as Ironic does; Masked copies hide them, and so do
// printing and logging. Only encoding a record as JSON shows them.
//
// # Keys
//
//	nodes/<uuid>                          the node
//	ports/<node>/<uuid>                   likewise portgroups/, volume-connectors/, volume-targets/
//	allocations/<uuid>                    likewise deploy-templates/, runbooks/, chassis/
//	index/node-name/<name>                node; likewise allocation-name, deploy-template-name, runbook-name
//	index/instance/<uuid>                 node
//	index/port/<uuid>                     node; likewise portgroup, volume-connector, volume-target
//	index/mac/<mac>                       node/port; likewise portgroup-mac
//	index/port-name/<name>                node/port; likewise portgroup-name
//	index/volume-connector-id/<type>/<id> node/connector; both parts are escaped
//	index/volume-target-boot/<node>/<n>   node/target
//	index/chassis-node/<chassis>/<node>   node
//
// Index keys make values unique and findable. A change writes a record and
// its index keys in one transaction, so neither is ever seen without the
// other, and of many who want one name exactly one gets it.
//
// # Changes
//
// Keys.Create, Update, Delete and DeleteNode answer a Change: compares,
// writes, and reads that explain a refusal. An update names the revision that
// was read and is refused when the record has another one. A lock puts the
// parts into its own fenced transaction; Store.Commit runs them alone, which
// is right for creates, and for records that belong to no node: their revision
// is all that guards them.
//
// # Lists
//
// A Store reads etcd. A Cache lists from a copy in memory that one watch keeps, and
// is as true: see there for how it shows that, and for answers that may be of an age.
//
// # Not promised
//
//   - A Change alone proves nothing about locks: without a fence a write of a
//     holder that has lost its lock is stopped only if the record changed.
//   - Values written past this package, with etcdctl, have no index keys. They
//     are read if they can be, and named as *CorruptError if not.
//   - Fields that a newer version wrote are passed over when read, and are
//     gone after the next write.
//   - The index keys of a corrupt record's values (its MAC, its name) stay
//     behind when its node is deleted, because nobody can read them.
package node
