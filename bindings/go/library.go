//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// unfit says why the library cannot be used; nil where it can.
var unfit = fits()

// layouts are the sizes on both sides of what is read and written in place.
var layouts = []struct {
	name    string
	in, out uintptr
}{
	{"braid_address", C.sizeof_braid_address, unsafe.Sizeof(Address{})},
	{"braid_hash", C.sizeof_braid_hash, unsafe.Sizeof(Hash{})},
	{"braid_u256", C.sizeof_braid_u256, unsafe.Sizeof(U256{})},
	{"braid_bloom", C.sizeof_braid_bloom, unsafe.Sizeof(Bloom{})},
	{"braid_slot", C.sizeof_braid_slot, unsafe.Sizeof(Slot{})},
	{"braid_account", C.sizeof_braid_account, unsafe.Sizeof(Account{})},
}

// fits compares the library with the header that this package was compiled with.
func fits() error {
	has, wants := uint32(C.braid_abi_version()), uint32(C.BRAID_ABI_VERSION)
	if has>>16 != wants>>16 || has&0xffff < wants&0xffff {
		return fmt.Errorf("%w: it has ABI version %d.%d, this program was compiled for %d.%d",
			ErrUnavailable, has>>16, has&0xffff, wants>>16, wants&0xffff)
	}
	for _, layout := range layouts {
		if layout.in != layout.out {
			return fmt.Errorf("%w: %s has %d bytes in braid.h and %d in this package",
				ErrUnavailable, layout.name, layout.in, layout.out)
		}
	}
	return nil
}

// Version is the library's own version, for people.
func Version() string { return C.GoString(C.braid_version()) }

// failure makes an error of what a function of the library returned, and frees the details.
func failure(status C.int32_t, details *C.braid_error) error {
	defer C.braid_error_free(details)
	message, transaction := "", -1
	if view := C.braid_error_get(details); view != nil {
		message = C.GoStringN(view.message, C.int(view.message_len))
		transaction = int(view.transaction)
	}
	name := C.GoString(C.braid_status_name(status))
	if Status(status).kind() == ErrInvalidBlock {
		return &BlockInvalidError{Status(status), name, transaction, message}
	}
	return &Error{Status: Status(status), Name: name, Message: message}
}

// mistake is a failure that this package finds itself.
func mistake(format string, with ...any) error {
	message := fmt.Sprintf(format, with...)
	return &Error{Status: statusInvalidArgument, Name: "INVALID_ARGUMENT", Message: message}
}

func bytesPointer(bytes []byte) *C.uint8_t {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(bytes)))
}
