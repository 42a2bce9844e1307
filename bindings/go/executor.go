//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"time"
	"unsafe"
)

// maxThreads is what the library takes.
const maxThreads = 1024

// Executor executes blocks. It owns its threads, which wait between blocks, and the codes that its
// readers gave. It may be used by several goroutines at once; their blocks take turns. A process
// that forks must not use it in the child.
type Executor struct{ handle *handle }

// NewExecutor starts an executor.
//
// Errors: [ErrCaller] for options out of range, [ErrUnavailable].
func NewExecutor(options Options) (*Executor, error) {
	if unfit != nil {
		return nil, unfit
	}
	if options.Threads < 0 || options.Threads > maxThreads {
		return nil, mistake("%d threads; 0 to %d", options.Threads, maxThreads)
	}
	with := C.braid_executor_options{
		struct_size: C.sizeof_braid_executor_options,
		threads:     C.uint32_t(options.Threads),
	}
	if options.Forced {
		with.flags = C.BRAID_EXECUTOR_FORCED
	}
	var executor *C.braid_executor
	var details *C.braid_error
	if status := C.braid_executor_new(&with, &executor, &details); status != C.BRAID_OK {
		return nil, failure(status, details)
	}
	h := newHandle(unsafe.Pointer(executor), func(ptr unsafe.Pointer) {
		C.braid_executor_free((*C.braid_executor)(ptr))
	})
	return owned(&Executor{h}, h), nil
}

// Close ends the executor and its threads: at once, or after the block that is being executed. It
// may be called twice.
func (e *Executor) Close() { e.handle.close() }

// Execute executes a block on its parent state. It blocks until the block is done, the context is,
// or the timeout has passed; both are looked at between transactions, not while a reader blocks.
//
// Errors: [BlockInvalidError], or [Error] of any other kind. Where the context ends it, the error
// wraps the context's cause.
func (e *Executor) Execute(ctx context.Context, request *Request) (*Result, error) {
	var result *Result
	err := e.call(ctx, C.BRAID_GO_EXECUTE, request, func(from *C.braid_result) (err error) {
		result, err = decode(C.braid_result_get(from))
		return err
	})
	return result, err
}

// call runs one of the functions that execute one block, and gives its result to take, which copies
// what it needs.
func (e *Executor) call(
	ctx context.Context, function C.uint32_t, request *Request, take func(*C.braid_result) error,
) error {
	executor, err := e.handle.acquire()
	if err != nil {
		return err
	}
	defer e.handle.release()
	if err := check(request); err != nil {
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
	with := newRequest(request, &pinner)
	with.chain, with.prestate = chain, prestate
	result, err := run(ctx, function, (*C.braid_executor)(executor), request, with)
	if err != nil {
		return err
	}
	defer C.braid_result_free(result)
	return take(result)
}

func check(request *Request) error {
	if request == nil || request.Chain == nil || request.Block == nil {
		return mistake("a request needs a chain and a block")
	}
	return checkState(request.Reader, request.Prestate, request.Timeout)
}

func checkState(reader Reader, prestate *Prestate, timeout time.Duration) error {
	switch {
	case (reader == nil) == (prestate == nil):
		return mistake("a request needs a reader or a pre-state, not both")
	case timeout < 0:
		return mistake("a timeout of %v", timeout)
	}
	return nil
}

// hold acquires a chain and, where it is not nil, a pre-state, which nobody changes until release.
func hold(
	chain *Chain, prestate *Prestate,
) (c *C.braid_chain, p *C.braid_prestate, release func(), err error) {
	chainPtr, err := chain.handle.acquire()
	if err != nil {
		return nil, nil, nil, err
	}
	if prestate == nil {
		return (*C.braid_chain)(chainPtr), nil, chain.handle.release, nil
	}
	prestatePtr, err := prestate.handle.acquire()
	if err != nil {
		chain.handle.release()
		return nil, nil, nil, err
	}
	prestate.mu.RLock()
	return (*C.braid_chain)(chainPtr), (*C.braid_prestate)(prestatePtr), func() {
		prestate.mu.RUnlock()
		prestate.handle.release()
		chain.handle.release()
	}, nil
}

func cancelled(ctx context.Context, message string) error {
	cause := context.Cause(ctx)
	return &Error{Status: StatusCancelled, Name: "CANCELLED", Message: message, Cause: cause}
}

// run executes with a token that the context triggers and a handle for the callbacks.
func run(
	ctx context.Context, function C.uint32_t, executor *C.braid_executor, request *Request,
	with *C.braid_request,
) (*C.braid_result, error) {
	token, release, err := watch(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	with.cancel = token
	c := &call{reader: request.Reader}
	var user C.uintptr_t
	var flags C.uint32_t
	if request.Reader != nil {
		handle := cgo.NewHandle(c)
		defer handle.Delete()
		user = C.uintptr_t(handle)
		flags = readerFlags(request.Serial, request.SlowReads)
	}
	var result *C.braid_result
	var details *C.braid_error
	status := C.braid_go_execute(function, executor, with, user, flags, &result, &details)
	if status != C.BRAID_OK {
		return nil, explain(ctx, c, status, details)
	}
	return result, nil
}

// explain adds the host's own error to a failure of the host.
func explain(ctx context.Context, c *call, status C.int32_t, details *C.braid_error) error {
	var code C.int32_t
	if view := C.braid_error_get(details); view != nil {
		code = view.host_code
	}
	err := failure(status, details)
	if host, ok := err.(*Error); ok {
		switch host.Status {
		case StatusStateUnreadable, StatusBlockRefused:
			host.Cause = c.cause(code)
		case StatusCancelled:
			host.Cause = context.Cause(ctx)
		}
	}
	return err
}

// watch gives a token that the context triggers, nil where it never will; without a goroutine while
// the context lives. The token is freed after the execution and after a trigger that has begun.
func watch(ctx context.Context) (*C.braid_cancel, func(), error) {
	if ctx.Done() == nil {
		return nil, func() {}, nil
	}
	var token *C.braid_cancel
	var details *C.braid_error
	if status := C.braid_cancel_new(&token, &details); status != C.BRAID_OK {
		return nil, nil, failure(status, details)
	}
	h := newHandle(unsafe.Pointer(token), func(ptr unsafe.Pointer) {
		C.braid_cancel_free((*C.braid_cancel)(ptr))
	})
	stop := context.AfterFunc(ctx, func() {
		if ptr, err := h.acquire(); err == nil {
			C.braid_cancel_trigger((*C.braid_cancel)(ptr))
			h.release()
		}
	})
	return token, func() {
		stop()
		h.close()
	}, nil
}

// newRequest describes the request to the library; its bytes are pinned, not copied.
func newRequest(request *Request, pinner *runtime.Pinner) *C.braid_request {
	return &C.braid_request{
		struct_size: C.sizeof_braid_request,
		flags:       flagsOf(request.CheckHeader, request.ReceiptsRLP),
		block:       newBlock(request.Block, pinner),
		timeout_ns:  C.uint64_t(request.Timeout),
	}
}

func flagsOf(checkHeader, receiptsRLP bool) (flags C.uint32_t) {
	if checkHeader {
		flags |= C.BRAID_CHECK_HEADER
	}
	if receiptsRLP {
		flags |= C.BRAID_WANT_RECEIPTS_RLP
	}
	return flags
}

func readerFlags(serial, slow bool) (flags C.uint32_t) {
	if serial {
		flags |= C.BRAID_READER_SERIAL
	}
	if slow {
		flags |= C.BRAID_READER_SLOW
	}
	return flags
}

// newBlock describes a block, and is pinned with all that it points to.
func newBlock(block *Block, pinner *runtime.Pinner) *C.braid_block {
	of := &C.braid_block{
		struct_size:     C.sizeof_braid_block,
		rlp:             pinned(block.RLP, pinner),
		header_rlp:      pinned(block.HeaderRLP, pinner),
		ommers_rlp:      pinned(block.OmmersRLP, pinner),
		withdrawals_rlp: pinned(block.WithdrawalsRLP, pinner),
		access_list_rlp: pinned(block.AccessListRLP, pinner),
	}
	pinner.Pin(of)
	if count := len(block.Transactions); count > 0 {
		transactions := make([]C.braid_bytes, count)
		for i, transaction := range block.Transactions {
			transactions[i] = pinned(transaction, pinner)
		}
		pinner.Pin(&transactions[0])
		of.transactions, of.transactions_count = &transactions[0], C.uint64_t(count)
	}
	if count := len(block.Senders); count > 0 {
		pinner.Pin(&block.Senders[0])
		of.senders = (*C.braid_address)(unsafe.Pointer(&block.Senders[0]))
		of.senders_count = C.uint64_t(count)
	}
	return of
}

func pinned(bytes []byte, pinner *runtime.Pinner) C.braid_bytes {
	if len(bytes) == 0 {
		return C.braid_bytes{}
	}
	pinner.Pin(&bytes[0])
	return C.braid_bytes{ptr: bytesPointer(bytes), len: C.uint64_t(len(bytes))}
}
