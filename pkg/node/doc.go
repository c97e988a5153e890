// Package node holds the records of bare metal nodes: what they say, where
// they lie in etcd, which changes of them are legal, and the machine of their
// provision states.
package node
