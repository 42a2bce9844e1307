//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"errors"
	"testing"
	"time"

	braid "github.com/braid-evm/braid/bindings/go"
)

func TestUseAfterClose(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), request(t, block)
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	state.Close()
	state.Close()
	_, added := state.AddCode([]byte{1})
	inMemory := braid.Request{Chain: with.Chain, Block: with.Block, Prestate: state}
	_, executed := executor.Execute(context.Background(), &inMemory)
	errs := []error{
		state.SetAccount(braid.Address{}, braid.Account{}),
		state.SetStorage(braid.Address{}, nil),
		state.SetBlockHash(1, braid.Hash{}),
		added, executed,
	}
	with.Chain.Close()
	with.Chain.Close()
	_, err = executor.Execute(context.Background(), with)
	errs = append(errs, err)
	executor.Close()
	executor.Close()
	_, err = executor.Execute(context.Background(), with)
	for i, err := range append(errs, err) {
		if !errors.Is(err, braid.ErrClosed) || !errors.Is(err, braid.ErrCaller) {
			t.Errorf("use %d: %v", i, err)
		}
	}
	if with.Chain.ID() != 0 {
		t.Error("a closed chain has an id")
	}
}

func TestMistakes(t *testing.T) {
	block := small(t)
	executor := newExecutor(t, 1)
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	good := request(t, block)
	spoil := map[string]func(*braid.Request){
		"no chain":         func(r *braid.Request) { r.Chain = nil },
		"no block":         func(r *braid.Request) { r.Block = nil },
		"no state":         func(r *braid.Request) { r.Reader = nil },
		"two states":       func(r *braid.Request) { r.Prestate = state },
		"negative timeout": func(r *braid.Request) { r.Timeout = -time.Second },
		"too few senders": func(r *braid.Request) {
			r.Block = block.Parts()
			r.Block.Senders = r.Block.Senders[:1]
		},
		"two forms": func(r *braid.Request) {
			r.Block = block.Parts()
			r.Block.RLP = block.Whole().RLP
		},
	}
	for name, spoil := range spoil {
		bad := *good
		spoil(&bad)
		_, err := executor.Execute(context.Background(), &bad)
		if !errors.Is(err, braid.ErrCaller) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := executor.Execute(context.Background(), nil); !errors.Is(err, braid.ErrCaller) {
		t.Error(err)
	}
	for _, threads := range []int{-1, 1025} {
		_, err := braid.NewExecutor(braid.Options{Threads: threads})
		if !errors.Is(err, braid.ErrCaller) {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
	absent := state.SetStorage(braid.Address{1, 2, 3}, []braid.Slot{{}})
	if !errors.Is(absent, braid.ErrCaller) {
		t.Error(absent)
	}
	usable(t, executor, block)
}

// A block cut off at any byte is undecodable, never invalid and never a crash.
func TestTruncatedBlocks(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 1), request(t, block)
	whole := block.Whole().RLP
	for length := 1; length < len(whole); length++ {
		with.Block = &braid.Block{RLP: whole[:length]}
		_, err := executor.Execute(context.Background(), with)
		if !errors.Is(err, braid.ErrDecode) {
			t.Fatalf("%d bytes: %v", length, err)
		}
	}
}

func TestInvalidBlock(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), request(t, block)
	// The first transaction twice: the second has a nonce that is used up.
	with.Block = block.Parts()
	good := with.Block
	with.Block.Transactions = append([][]byte{good.Transactions[0]}, good.Transactions...)
	with.Block.Senders = append([]braid.Address{good.Senders[0]}, good.Senders...)
	_, err := executor.Execute(context.Background(), with)
	var invalid *braid.BlockInvalidError
	if !errors.Is(err, braid.ErrInvalidBlock) || !errors.As(err, &invalid) || invalid.TxIndex != 1 {
		t.Fatal(err)
	}
	others := []error{braid.ErrCaller, braid.ErrDecode, braid.ErrHost, braid.ErrInternal}
	for _, other := range others {
		if errors.Is(err, other) {
			t.Fatalf("%v is also %v", err, other)
		}
	}
	usable(t, executor, block)
}

func TestChains(t *testing.T) {
	for name, id := range map[string]uint64{
		"mainnet": 1, "sepolia": 11155111, "holesky": 17000, "hoodi": 560048,
	} {
		chain, err := braid.ChainByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if chain.ID() != id {
			t.Errorf("%s has the id %d", name, chain.ID())
		}
		chain.Close()
	}
	var failed *braid.Error
	if _, err := braid.ChainByName("atlantis"); !errors.As(err, &failed) ||
		failed.Status != braid.StatusUnknownChain || !errors.Is(err, braid.ErrDecode) {
		t.Error(err)
	}
	for config, status := range map[string]braid.Status{
		"":                                  204,
		"{":                                 204,
		"{}":                                206,
		`{"chainId": 5, "atlantisTime": 1}`: braid.StatusUnknownFork,
	} {
		_, err := braid.ChainFromConfig([]byte(config))
		if !errors.As(err, &failed) || failed.Status != status || !errors.Is(err, braid.ErrDecode) {
			t.Errorf("%s: %v", config, err)
		}
	}
	chain, err := braid.ChainFromConfig([]byte(`{"chainId": 5, "byzantiumBlock": 0}`))
	if err != nil || chain.ID() != 5 {
		t.Errorf("%v", err)
	}
	if braid.Version() == "" {
		t.Error("no version")
	}
}
