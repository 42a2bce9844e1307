//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"slices"
	"unsafe"
)

// Import executes a block on its parent state, and verifies all that the block says of itself but
// its state root: it recovers the senders, compares the body with the header (transactions root,
// ommers hash, withdrawals root), executes the block, and compares the result with the header as
// [Request.CheckHeader] does, whether that is set or not. What relates the header to its parent is
// not looked at either.
//
// Errors: as for [Executor.Execute]; a [BlockInvalidError] with [StatusBodyMismatch] or
// [StatusHeaderMismatch] names the header's field in its message. [Block.Senders] must be nil, else
// the error is one of [ErrCaller].
func (e *Executor) Import(ctx context.Context, request *Request) (*Imported, error) {
	var imported *Imported
	err := e.call(ctx, C.BRAID_GO_IMPORT, request, func(from *C.braid_result) error {
		view := C.braid_result_import(from)
		if view == nil || view.struct_size < C.sizeof_braid_import_view {
			return fmt.Errorf("%w: its import is shorter than braid.h says", ErrUnavailable)
		}
		result, err := decode(C.braid_result_get(from))
		if err != nil {
			return err
		}
		senders := items((*Address)(unsafe.Pointer(view.senders)), view.senders_count)
		imported = &Imported{
			Result: result, BlockHash: hashOf(view.block_hash), Senders: slices.Clone(senders),
		}
		return nil
	})
	return imported, err
}
