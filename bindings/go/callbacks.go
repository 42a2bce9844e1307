//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"errors"
	"runtime/cgo"
	"runtime/debug"
	"sync"
	"unsafe"
)

// maxKept bounds the errors of one execution that are kept; a reader that fails for each of a long
// block's speculations gives more, and then the last one stands for the rest.
const maxKept = 4096

// call is one execution with callbacks: what the callbacks find behind their handle.
type call struct {
	reader Reader
	// each takes the blocks of a range.
	each   func(index int, result *Result) error
	mu     sync.Mutex
	failed []error
}

// fail keeps an error and gives the answer that tells it from all others of the call: the library
// returns it as the host code of the one read that the block needed.
func (c *call) fail(err error) C.int32_t {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) == maxKept {
		c.failed[maxKept-1] = err
	} else {
		c.failed = append(c.failed, err)
	}
	return C.int32_t(-len(c.failed))
}

// cause gives the error behind a host code; nil where there is none.
func (c *call) cause(code C.int32_t) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if index := -int(code) - 1; index >= 0 && index < len(c.failed) {
		return c.failed[index]
	}
	return nil
}

// caught makes an answer of a panic, which must not unwind into the library.
func (c *call) caught(answer *C.int32_t) {
	if value := recover(); value != nil {
		*answer = c.fail(&PanicError{value, debug.Stack()})
	}
}

func callOf(user C.uintptr_t) *call { return cgo.Handle(user).Value().(*call) }

//export braidGoAccount
func braidGoAccount(
	user C.uintptr_t, address *C.braid_address, to *C.braid_account,
) (answer C.int32_t) {
	c := callOf(user)
	defer c.caught(&answer)
	account, exists, err := c.reader.Account(*(*Address)(unsafe.Pointer(address)))
	if err != nil {
		return c.fail(err)
	}
	if !exists {
		return C.BRAID_ABSENT
	}
	*(*Account)(unsafe.Pointer(to)) = account
	return C.BRAID_FOUND
}

//export braidGoStorage
func braidGoStorage(
	user C.uintptr_t, address *C.braid_address, key, to *C.braid_u256,
) (answer C.int32_t) {
	c := callOf(user)
	defer c.caught(&answer)
	of, slot := *(*Address)(unsafe.Pointer(address)), *(*Hash)(unsafe.Pointer(key))
	value, err := c.reader.Storage(of, slot)
	if err != nil {
		return c.fail(err)
	}
	*(*Hash)(unsafe.Pointer(to)) = value
	return C.BRAID_FOUND
}

//export braidGoCode
func braidGoCode(user C.uintptr_t, hash *C.braid_hash, sink *C.braid_code_sink) (answer C.int32_t) {
	c := callOf(user)
	defer c.caught(&answer)
	code, err := c.reader.Code(*(*Hash)(unsafe.Pointer(hash)))
	if err != nil {
		return c.fail(err)
	}
	if code == nil {
		return C.BRAID_ABSENT
	}
	return C.braid_code_put(sink, bytesPointer(code), C.size_t(len(code)))
}

//export braidGoBlockHash
func braidGoBlockHash(user C.uintptr_t, number C.uint64_t, to *C.braid_hash) (answer C.int32_t) {
	c := callOf(user)
	defer c.caught(&answer)
	hash, err := c.reader.BlockHash(uint64(number))
	if err != nil {
		return c.fail(err)
	}
	*(*Hash)(unsafe.Pointer(to)) = hash
	return C.BRAID_FOUND
}

//export braidGoBlock
func braidGoBlock(user C.uintptr_t, index C.uint64_t, result *C.braid_result) (answer C.int32_t) {
	c := callOf(user)
	defer c.caught(&answer)
	defer C.braid_result_free(result)
	decoded, err := decode(C.braid_result_get(result))
	if err == nil {
		err = c.each(int(index), decoded)
	}
	switch {
	case errors.Is(err, ErrStopRange):
		return C.BRAID_RANGE_STOP
	case err != nil:
		return c.fail(err)
	}
	return C.BRAID_OK
}
