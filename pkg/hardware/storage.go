package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// StorageReader is the part of the storage interface that only reads.
type StorageReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// ShouldWriteImage says whether a deployment has to write the image to a
	// disk; it is false when the machine boots from a volume.
	ShouldWriteImage(ctx context.Context, n *node.Node) (bool, error)
}

// Storage connects remote volumes. Ironic: StorageInterface.
type Storage interface {
	StorageReader
	// Attach connects the volumes of the node.
	Attach(ctx context.Context, n *node.Node) error
	// Detach disconnects them.
	Detach(ctx context.Context, n *node.Node) error
}

// BoundStorageReader is a [StorageReader] bound to a node, behind a [Gate].
type BoundStorageReader struct{ r bound[StorageReader] }

// BoundStorage is a [Storage] bound to a node, behind a [Gate].
type BoundStorage struct {
	BoundStorageReader
	w bound[Storage]
}

// Validate is [StorageReader.Validate] on the node.
func (b BoundStorageReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", StorageReader.Validate)
}

// ShouldWriteImage is [StorageReader.ShouldWriteImage] on the node.
func (b BoundStorageReader) ShouldWriteImage(ctx context.Context) (bool, error) {
	return ask(ctx, b.r, "ShouldWriteImage", StorageReader.ShouldWriteImage)
}

// Attach is [Storage.Attach] on the node.
func (b BoundStorage) Attach(ctx context.Context) error {
	return act(ctx, b.w, "Attach", Storage.Attach)
}

// Detach is [Storage.Detach] on the node.
func (b BoundStorage) Detach(ctx context.Context) error {
	return act(ctx, b.w, "Detach", Storage.Detach)
}

func bindStorage(b binding, impl Storage) BoundStorage {
	return BoundStorage{
		BoundStorageReader{bound[StorageReader]{b, InterfaceStorage, impl}},
		bound[Storage]{b, InterfaceStorage, impl},
	}
}
