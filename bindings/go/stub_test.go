//go:build !cgo || braid_stub

package braid

import (
	"context"
	"errors"
	"testing"
)

func TestEverythingIsUnavailable(t *testing.T) {
	_, executor := NewExecutor(Options{})
	_, execute := (&Executor{}).Execute(context.Background(), &Request{})
	_, imported := (&Executor{}).Import(context.Background(), &Request{})
	_, produced := (&Executor{}).ProduceAccessList(context.Background(), &Request{})
	_, _, listed := (&Executor{}).ExecuteWithAccessList(context.Background(), &Request{})
	ranged := (&Executor{}).ExecuteRange(context.Background(), &RangeRequest{}, nil)
	_, named := ChainByName("mainnet")
	_, configured := ChainFromConfig([]byte("{}"))
	_, prestate := NewPrestate()
	errs := []error{
		executor, execute, imported, produced, listed, ranged, named, configured, prestate,
	}
	for _, err := range errs {
		if !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
}
