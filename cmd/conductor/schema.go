package main

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// schemaVersion is the layout of keys and values in etcd that this program
// reads and writes. A change that an older program would misread gets a new one.
const schemaVersion = 1

type schema struct {
	Version int `json:"version"`
}

func schemaKey(root string) string { return root + "meta/schema" }

// checkSchema refuses a layout that is newer than this program. None at all is
// fine: nobody has written yet.
func checkSchema(ctx context.Context, client *clientv3.Client, root string) error {
	r, err := client.Get(ctx, schemaKey(root))
	if err != nil {
		return err
	}
	if len(r.Kvs) == 0 {
		return nil
	}
	return readSchema(root, r.Kvs[0].Value)
}

func readSchema(root string, value []byte) error {
	var s schema
	if err := json.Unmarshal(value, &s); err != nil || s.Version < 1 {
		return fmt.Errorf("%s holds %q, which this program does not understand: is --etcd-prefix right?",
			schemaKey(root), value)
	}
	if s.Version > schemaVersion {
		return fmt.Errorf("the records in etcd below %s have layout %d, and conductor %s knows %d: use a newer conductor",
			root, s.Version, version, schemaVersion)
	}
	return nil
}

// claimSchema writes the layout's version where there is none yet.
func claimSchema(ctx context.Context, client *clientv3.Client, root string) error {
	key := schemaKey(root)
	value, err := json.Marshal(schema{schemaVersion})
	if err != nil {
		return err
	}
	r, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return fmt.Errorf("note the layout of the records: %w", err)
	}
	if r.Succeeded {
		return nil
	}
	return readSchema(root, r.Responses[0].GetResponseRange().Kvs[0].Value)
}
