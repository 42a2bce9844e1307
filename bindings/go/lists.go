//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"unsafe"
)

// ProduceAccessList executes a block and produces its access list (EIP-7928) whatever its fork, as
// [Result.AccessListRLP]. On a fork with access lists [Executor.Execute] does so too.
//
// Errors: as for [Executor.Execute].
func (e *Executor) ProduceAccessList(ctx context.Context, request *Request) (*Result, error) {
	var result *Result
	take := func(from *C.braid_result) (err error) {
		result, err = decode(C.braid_result_get(from))
		return err
	}
	err := e.call(ctx, C.BRAID_GO_PRODUCE_ACCESS_LIST, request, take)
	return result, err
}

// ExecuteWithAccessList is as [Executor.ProduceAccessList], helped by [Block.AccessListRLP], which
// is claimed to be the block's list and must be given, and compares the claim with what the
// execution produced.
//
// With a right list each transaction runs once, without waiting for the ones before it. A wrong one
// costs time, and changes neither the result nor the error: where the header commits to the list,
// it is for the caller to say that a mismatch makes the block invalid.
//
// Errors: as for [Executor.Execute]; one of [ErrCaller] where there is no list, one of [ErrDecode]
// where it cannot be decoded.
func (e *Executor) ExecuteWithAccessList(
	ctx context.Context, request *Request,
) (*Result, *AccessListCheck, error) {
	var result *Result
	var check *AccessListCheck
	take := func(from *C.braid_result) (err error) {
		if check, err = checkOf(C.braid_result_access_list_check(from)); err != nil {
			return err
		}
		result, err = decode(C.braid_result_get(from))
		return err
	}
	if err := e.call(ctx, C.BRAID_GO_WITH_ACCESS_LIST, request, take); err != nil {
		return nil, nil, err
	}
	return result, check, nil
}

func checkOf(view *C.braid_access_list_check) (*AccessListCheck, error) {
	if view == nil || view.struct_size < C.sizeof_braid_access_list_check {
		return nil, fmt.Errorf("%w: its check is shorter than braid.h says", ErrUnavailable)
	}
	check := &AccessListCheck{Mismatches: uint64(view.mismatches)}
	if view.mismatches > 0 {
		check.First = &AccessListMismatch{
			Index:    int64(view.index),
			Address:  *(*Address)(unsafe.Pointer(&view.address)),
			Part:     AccessPart(view.part),
			Slot:     *(*Hash)(unsafe.Pointer(&view.slot)),
			Claimed:  accessValue(&view.claimed),
			Produced: accessValue(&view.produced),
			Message:  C.GoStringN(view.message, C.int(view.message_len)),
		}
	}
	return check, nil
}

func accessValue(of *C.braid_access_value) AccessValue {
	return AccessValue{
		Kind:   AccessValueKind(of.kind),
		Number: *(*U256)(unsafe.Pointer(&of.number)),
		Code:   bytesOf(&of.code),
	}
}
