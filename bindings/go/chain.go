//go:build cgo && !braid_stub

package braid

// #include <stdlib.h>
// #include "shim.h"
import "C"

import "unsafe"

// Chain is the rules of a chain. It never changes and may be used by several goroutines at once.
type Chain struct{ handle *handle }

// ChainByName is a known chain: mainnet, sepolia, holesky or hoodi.
//
// Errors: [ErrDecode] for another name, [ErrUnavailable].
func ChainByName(name string) (*Chain, error) {
	if unfit != nil {
		return nil, unfit
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	var chain *C.braid_chain
	var details *C.braid_error
	if status := C.braid_chain_by_name(text, &chain, &details); status != C.BRAID_OK {
		return nil, failure(status, details)
	}
	return newChain(chain), nil
}

// ChainFromConfig is any chain, from the config object of a geth genesis file. A key that is not
// known is refused, for it may be a fork.
//
// Errors: [ErrDecode], [ErrUnavailable].
func ChainFromConfig(json []byte) (*Chain, error) {
	if unfit != nil {
		return nil, unfit
	}
	if len(json) == 0 {
		json = []byte(" ")
	}
	var chain *C.braid_chain
	var details *C.braid_error
	status := C.braid_chain_from_config(bytesPointer(json), C.size_t(len(json)), &chain, &details)
	if status != C.BRAID_OK {
		return nil, failure(status, details)
	}
	return newChain(chain), nil
}

func newChain(chain *C.braid_chain) *Chain {
	h := newHandle(unsafe.Pointer(chain), func(ptr unsafe.Pointer) {
		C.braid_chain_free((*C.braid_chain)(ptr))
	})
	return owned(&Chain{h}, h)
}

// ID is the chain id (EIP-155); 0 after Close.
func (c *Chain) ID() uint64 {
	ptr, err := c.handle.acquire()
	if err != nil {
		return 0
	}
	defer c.handle.release()
	return uint64(C.braid_chain_id((*C.braid_chain)(ptr)))
}

// Close frees the chain. It may be called twice, and while blocks are executed.
func (c *Chain) Close() { c.handle.close() }
