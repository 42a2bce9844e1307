//go:build cgo && !braid_stub

package braid

import (
	"runtime"
	"sync"
	"unsafe"
)

// handle owns a pointer of the library. It is freed once: after close and its last user, so that
// close may be called at any time, even by a callback of the call that uses it.
type handle struct {
	mu     sync.Mutex
	ptr    unsafe.Pointer
	users  int
	closed bool
	free   func(unsafe.Pointer)
}

func newHandle(ptr unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	return &handle{ptr: ptr, free: free}
}

// owned frees the handle when its owner becomes unreachable, for an owner that nobody closed.
func owned[T any](owner *T, h *handle) *T {
	runtime.AddCleanup(owner, (*handle).close, h)
	return owner
}

// acquire gives the pointer; each success is followed by a release.
func (h *handle) acquire() (unsafe.Pointer, error) {
	if h == nil {
		return nil, ErrClosed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	h.users++
	return h.ptr, nil
}

func (h *handle) release() {
	h.mu.Lock()
	h.users--
	last := h.closed && h.users == 0
	h.mu.Unlock()
	if last {
		h.free(h.ptr)
	}
}

func (h *handle) close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	last := !h.closed && h.users == 0
	h.closed = true
	h.mu.Unlock()
	if last {
		h.free(h.ptr)
	}
}
