package braid

import (
	"errors"
	"fmt"
)

// What an error is: for each error of this package errors.Is holds for exactly one of the first
// five, but for [ErrUnavailable].
var (
	// ErrCaller is a mistake in how the package is used.
	ErrCaller = errors.New("braid: caller's mistake")
	// ErrDecode is input that cannot be decoded: a block, a transaction, a chain config.
	ErrDecode = errors.New("braid: undecodable input")
	// ErrInvalidBlock is the verdict that a block is invalid; see [BlockInvalidError].
	ErrInvalidBlock = errors.New("braid: invalid block")
	// ErrHost is a failure of the host: a state that cannot be read, a cancellation. No verdict.
	ErrHost = errors.New("braid: host failed")
	// ErrInternal is a failure of the library. No verdict.
	ErrInternal = errors.New("braid: library failed")

	// ErrClosed, one of [ErrCaller], is the use of something after its Close.
	ErrClosed = fmt.Errorf("%w: used after Close", ErrCaller)
	// ErrUnavailable says that this program has no library, or one that does not fit.
	ErrUnavailable = errors.New("braid: the library is not available")
)

// ErrStopRange, returned by the function that [Executor.ExecuteRange] gives the blocks, ends the
// range without an error.
var ErrStopRange = errors.New("braid: enough blocks")

// Status is a status code of the C ABI; its ranges are those of the errors above.
type Status int32

// The status codes that a host may want to tell apart. The header braid.h lists all.
const (
	StatusReentrant        Status = 104
	StatusBrokenRange      Status = 106
	StatusUnknownChain     Status = 205
	StatusUnknownFork      Status = 207
	StatusHeaderMismatch   Status = 305
	StatusBodyMismatch     Status = 306
	StatusStateUnreadable  Status = 401
	StatusCancelled        Status = 402
	StatusTimedOut         Status = 403
	StatusBlockRefused     Status = 405
	StatusPanic            Status = 501
	statusInvalidArgument  Status = 103
	firstInvalid, overLast Status = 300, 400
)

// kind gives the sentinel of a status.
func (s Status) kind() error {
	switch {
	case s >= 100 && s < 200:
		return ErrCaller
	case s < firstInvalid && s >= 200:
		return ErrDecode
	case s >= firstInvalid && s < overLast:
		return ErrInvalidBlock
	case s >= overLast && s < 500:
		return ErrHost
	default:
		return ErrInternal
	}
}

// Error is any failure but an invalid block. It unwraps to its sentinel and to its cause: what a
// [Reader] answered, a [PanicError], the cause of a context.
type Error struct {
	// Status is the code of the C ABI.
	Status Status
	// Name is the code's name.
	Name string
	// Message says what failed, and where.
	Message string
	// Cause is the host's own error; nil where there is none.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("braid: %s: %s", e.Name, e.Message)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Status.kind()}
	}
	return []error{e.Status.kind(), e.Cause}
}

// BlockInvalidError says that a block is invalid, and why: the first error of sequential execution.
type BlockInvalidError struct {
	// Status is the code of the C ABI.
	Status Status
	// Name is the code's name.
	Name string
	// TxIndex is the transaction that failed, or -1.
	TxIndex int
	// Message says what failed.
	Message string
}

// Error implements error.
func (e *BlockInvalidError) Error() string {
	return fmt.Sprintf("braid: invalid block: %s: %s", e.Name, e.Message)
}

// Unwrap gives [ErrInvalidBlock].
func (e *BlockInvalidError) Unwrap() error { return ErrInvalidBlock }

// RangeError says which block of a range failed. The blocks before it were given.
type RangeError struct {
	// Index is the block's in the range.
	Index int
	// Err is what [Executor.Execute] would answer for the block: a [BlockInvalidError], or an
	// [Error].
	Err error
}

// Error implements error. The error of the block names its index.
func (e *RangeError) Error() string { return e.Err.Error() }

// Unwrap gives the error of the block.
func (e *RangeError) Unwrap() error { return e.Err }

// PanicError is the panic of a [Reader], or of a function that takes the blocks of a range.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the panic.
	Stack []byte
}

// Error implements error; the stack is in it, for the panic did not end the program.
func (e *PanicError) Error() string {
	return fmt.Sprintf("the callback panicked: %v\n%s", e.Value, e.Stack)
}

// Unwrap gives the value, where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
