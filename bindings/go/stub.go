//go:build !cgo || braid_stub

package braid

import "context"

// Executor stands for an executor in a program without the library.
type Executor struct{}

// NewExecutor answers [ErrUnavailable].
func NewExecutor(Options) (*Executor, error) { return nil, ErrUnavailable }

// Execute answers [ErrUnavailable].
func (*Executor) Execute(context.Context, *Request) (*Result, error) { return nil, ErrUnavailable }

// Import answers [ErrUnavailable].
func (*Executor) Import(context.Context, *Request) (*Imported, error) { return nil, ErrUnavailable }

// ProduceAccessList answers [ErrUnavailable].
func (*Executor) ProduceAccessList(context.Context, *Request) (*Result, error) {
	return nil, ErrUnavailable
}

// ExecuteWithAccessList answers [ErrUnavailable].
func (*Executor) ExecuteWithAccessList(
	context.Context, *Request,
) (*Result, *AccessListCheck, error) {
	return nil, nil, ErrUnavailable
}

// ExecuteRange answers [ErrUnavailable].
func (*Executor) ExecuteRange(
	context.Context, *RangeRequest, func(index int, result *Result) error,
) error {
	return ErrUnavailable
}

// Close does nothing.
func (*Executor) Close() {}

// Chain stands for a chain in a program without the library.
type Chain struct{}

// ChainByName answers [ErrUnavailable].
func ChainByName(string) (*Chain, error) { return nil, ErrUnavailable }

// ChainFromConfig answers [ErrUnavailable].
func ChainFromConfig([]byte) (*Chain, error) { return nil, ErrUnavailable }

// ID gives 0.
func (*Chain) ID() uint64 { return 0 }

// Close does nothing.
func (*Chain) Close() {}

// Prestate stands for a pre-state in a program without the library.
type Prestate struct{}

// NewPrestate answers [ErrUnavailable].
func NewPrestate() (*Prestate, error) { return nil, ErrUnavailable }

// SetAccount answers [ErrUnavailable].
func (*Prestate) SetAccount(Address, Account) error { return ErrUnavailable }

// SetStorage answers [ErrUnavailable].
func (*Prestate) SetStorage(Address, []Slot) error { return ErrUnavailable }

// AddCode answers [ErrUnavailable].
func (*Prestate) AddCode([]byte) (Hash, error) { return Hash{}, ErrUnavailable }

// SetBlockHash answers [ErrUnavailable].
func (*Prestate) SetBlockHash(uint64, Hash) error { return ErrUnavailable }

// Close does nothing.
func (*Prestate) Close() {}

// Version is empty.
func Version() string { return "" }
