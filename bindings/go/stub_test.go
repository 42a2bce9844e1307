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
	_, named := ChainByName("mainnet")
	_, configured := ChainFromConfig([]byte("{}"))
	_, prestate := NewPrestate()
	for _, err := range []error{executor, execute, imported, named, configured, prestate} {
		if !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
}
