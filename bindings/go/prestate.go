//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"sync"
	"unsafe"
)

// Prestate is a parent state in memory. An account or slot that is not in it does not exist, or is
// zero; a code or block hash that is not in it is a failed read. It may be used by several
// goroutines at once; a change waits for the executions that read it.
type Prestate struct {
	handle *handle
	mu     sync.RWMutex
}

// NewPrestate makes an empty pre-state.
//
// Errors: [ErrUnavailable].
func NewPrestate() (*Prestate, error) {
	if unfit != nil {
		return nil, unfit
	}
	var prestate *C.braid_prestate
	var details *C.braid_error
	if status := C.braid_prestate_new(&prestate, &details); status != C.BRAID_OK {
		return nil, failure(status, details)
	}
	h := newHandle(unsafe.Pointer(prestate), func(ptr unsafe.Pointer) {
		C.braid_prestate_free((*C.braid_prestate)(ptr))
	})
	return owned(&Prestate{handle: h}, h), nil
}

// change runs what changes the pre-state, alone.
func (p *Prestate) change(by func(*C.braid_prestate, **C.braid_error) C.int32_t) error {
	ptr, err := p.handle.acquire()
	if err != nil {
		return err
	}
	defer p.handle.release()
	p.mu.Lock()
	defer p.mu.Unlock()
	var details *C.braid_error
	if status := by((*C.braid_prestate)(ptr), &details); status != C.BRAID_OK {
		return failure(status, details)
	}
	return nil
}

// SetAccount adds or replaces an account; its storage stays.
//
// Errors: [ErrClosed].
func (p *Prestate) SetAccount(address Address, account Account) error {
	to := (*C.braid_address)(unsafe.Pointer(&address))
	with := (*C.braid_account)(unsafe.Pointer(&account))
	return p.change(func(state *C.braid_prestate, details **C.braid_error) C.int32_t {
		return C.braid_prestate_account(state, to, with, details)
	})
}

// SetStorage sets slots of an account that was added before; a zero value removes a slot.
//
// Errors: [ErrCaller] where there is no such account, [ErrClosed].
func (p *Prestate) SetStorage(address Address, slots []Slot) error {
	to := (*C.braid_address)(unsafe.Pointer(&address))
	with := (*C.braid_slot)(unsafe.Pointer(unsafe.SliceData(slots)))
	return p.change(func(state *C.braid_prestate, details **C.braid_error) C.int32_t {
		return C.braid_prestate_storage(state, to, with, C.size_t(len(slots)), details)
	})
}

// AddCode adds a code and gives its hash.
//
// Errors: [ErrClosed].
func (p *Prestate) AddCode(code []byte) (Hash, error) {
	var hash Hash
	to := (*C.braid_hash)(unsafe.Pointer(&hash))
	err := p.change(func(state *C.braid_prestate, details **C.braid_error) C.int32_t {
		return C.braid_prestate_code(state, bytesPointer(code), C.size_t(len(code)), to, details)
	})
	return hash, err
}

// SetBlockHash adds the hash of an ancestor.
//
// Errors: [ErrClosed].
func (p *Prestate) SetBlockHash(number uint64, hash Hash) error {
	with := (*C.braid_hash)(unsafe.Pointer(&hash))
	return p.change(func(state *C.braid_prestate, details **C.braid_error) C.int32_t {
		return C.braid_prestate_block_hash(state, C.uint64_t(number), with, details)
	})
}

// Close frees the pre-state. It may be called twice, and while blocks are executed.
func (p *Prestate) Close() { p.handle.close() }
