//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
)

// ExecuteRange executes consecutive blocks, the first one on the state of the request, each other
// one on what the blocks before it leave, and gives each result to each, in order, while later
// blocks are executed already. With more than one thread the blocks overlap: idle threads go ahead
// with the next one. Each result is what [Executor.Execute] gives for the block.
//
// An error of each ends the range and comes back, wrapped; [ErrStopRange] ends it without an error.
// Neither each nor the reader may execute a block, nor wait for one on the same executor. All
// blocks are decoded first; give a long range in parts. The reader is asked for nothing that a
// block of the range has changed.
//
// Errors: as for [Executor.Execute], in a [RangeError] where one block failed: it is invalid,
// cannot be decoded or executed, was refused by each, or does not follow the one before it
// ([StatusBrokenRange]). The blocks before it were given and no other; none where a block cannot be
// decoded.
func (e *Executor) ExecuteRange(
	ctx context.Context, request *RangeRequest, each func(index int, result *Result) error,
) error {
	executor, err := e.handle.acquire()
	if err != nil {
		return err
	}
	defer e.handle.release()
	if err := checkRange(request, each); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return cancelled(ctx, "before the execution began")
	}
	chain, prestate, release, err := hold(request.Chain, request.Prestate)
	if err != nil {
		return err
	}
	defer release()
	var pinner runtime.Pinner
	defer pinner.Unpin()
	with := newRange(request, &pinner)
	with.chain, with.prestate = chain, prestate
	c := &call{reader: request.Reader, each: each}
	flags := readerFlags(request.Serial, request.SlowReads)
	return runRange(ctx, c, (*C.braid_executor)(executor), flags, with)
}

func checkRange(request *RangeRequest, each func(int, *Result) error) error {
	if request == nil || request.Chain == nil || each == nil {
		return mistake("a range needs a chain, and a function that takes the blocks")
	}
	for i, block := range request.Blocks {
		if block == nil {
			return mistake("block %d of the range is nil", i)
		}
	}
	return checkState(request.Reader, request.Prestate, request.Timeout)
}

// newRange describes the request to the library; its bytes are pinned, not copied.
func newRange(request *RangeRequest, pinner *runtime.Pinner) *C.braid_range_request {
	with := &C.braid_range_request{
		struct_size: C.sizeof_braid_range_request,
		flags:       flagsOf(request.CheckHeader, request.ReceiptsRLP),
		timeout_ns:  C.uint64_t(request.Timeout),
	}
	if count := len(request.Blocks); count > 0 {
		blocks := make([]*C.braid_block, count)
		for i, block := range request.Blocks {
			blocks[i] = newBlock(block, pinner)
		}
		pinner.Pin(&blocks[0])
		with.blocks, with.blocks_count = &blocks[0], C.uint64_t(count)
	}
	return with
}

// runRange executes with a token that the context triggers and a handle for the callbacks.
func runRange(
	ctx context.Context, c *call, executor *C.braid_executor, flags C.uint32_t,
	with *C.braid_range_request,
) error {
	token, release, err := watch(ctx)
	if err != nil {
		return err
	}
	defer release()
	with.cancel = token
	handle := cgo.NewHandle(c)
	defer handle.Delete()
	var reads C.uint32_t
	if c.reader != nil {
		reads = 1
	}
	var details *C.braid_error
	user := C.uintptr_t(handle)
	status := C.braid_go_execute_range(executor, with, user, reads, flags, &details)
	if status == C.BRAID_OK {
		return nil
	}
	index := int(C.braid_error_block(details))
	if err = explain(ctx, c, status, details); index < 0 {
		return err
	}
	return &RangeError{Index: index, Err: err}
}
