//go:build cgo && !braid_stub

package braid_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

// listed is a request whose block has its access list.
func listed(t testing.TB, block *dump.Dump) *braid.Request {
	with := request(t, block)
	with.Block.AccessListRLP = bytes.Clone(block.ProducedList())
	return with
}

// The list of every dumped block is that of sequential execution, and the block with it matches.
func TestAccessLists(t *testing.T) {
	everyBlock(t, []int{1, 2, 4}, listBothWays)
}

func listBothWays(t *testing.T, executor *braid.Executor, name string, block *dump.Dump) {
	result, err := executor.ProduceAccessList(context.Background(), request(t, block))
	if err == nil {
		err = block.CheckListed(result)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	with := request(t, block)
	with.Block.AccessListRLP = result.AccessListRLP
	result, check, err := executor.ExecuteWithAccessList(context.Background(), with)
	if err == nil {
		err = block.CheckListed(result)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if check.Mismatches != 0 || check.First != nil {
		t.Fatalf("%s: %+v", name, check.First)
	}
}

func TestAccessListDifferences(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), listed(t, block)
	list := with.Block.AccessListRLP
	// The second transaction leaves 42 in a slot: a list of the block access index and the value.
	at := bytes.Index(list, []byte{0xc2, 2, 42})
	if at < 0 {
		t.Fatal("the list has no such entry")
	}
	list[at+2] = 41
	result, check, err := executor.ExecuteWithAccessList(context.Background(), with)
	if err == nil {
		err = block.CheckListed(result)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := check.First
	if check.Mismatches != 1 || first.Part != braid.AccessStorage || first.Index != 2 ||
		first.Address[0] != 0xcc || first.Slot != (braid.Hash{}) ||
		first.Claimed.Kind != braid.ValueWord || first.Claimed.Number[31] != 41 ||
		first.Produced.Kind != braid.ValueWord || first.Produced.Number[31] != 42 ||
		!strings.Contains(first.Message, "block access index 2") {
		t.Fatalf("%d: %+v", check.Mismatches, first)
	}
	list[at+2] = 42
	// The last one deploys the code 00.
	at = bytes.Index(list, []byte{0xc2, 6, 0})
	list[at+2] = 1
	_, check, err = executor.ExecuteWithAccessList(context.Background(), with)
	if err != nil {
		t.Fatal(err)
	}
	if check.First.Part != braid.AccessCode || !bytes.Equal(check.First.Claimed.Code, []byte{1}) ||
		!bytes.Equal(check.First.Produced.Code, []byte{0}) {
		t.Fatalf("%+v", check.First)
	}
	// A list without an entry lacks the first account, and all others.
	with.Block.AccessListRLP = []byte{0xc0}
	_, check, err = executor.ExecuteWithAccessList(context.Background(), with)
	if err != nil {
		t.Fatal(err)
	}
	if check.Mismatches < 10 || check.First.Index != -1 ||
		check.First.Part != braid.AccessAccount || check.First.Claimed.Kind != braid.ValueNothing ||
		check.First.Produced.Kind != braid.ValueAccessed {
		t.Fatalf("%d: %+v", check.Mismatches, check.First)
	}
}

// A list with one byte changed is undecodable, or differs; it never changes the result.
func TestAccessListsOfFlippedBytes(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), listed(t, block)
	list := with.Block.AccessListRLP
	different := 0
	for at := range list {
		list[at] ^= 1
		result, check, err := executor.ExecuteWithAccessList(context.Background(), with)
		list[at] ^= 1
		if errors.Is(err, braid.ErrDecode) {
			continue
		}
		if err == nil {
			err = block.CheckListed(result)
		}
		if err != nil || check.Mismatches == 0 || check.First == nil {
			t.Fatalf("byte %d: %v, %+v", at, err, check)
		}
		different++
	}
	if different < 100 {
		t.Fatalf("only %d lists differ", different)
	}
}

func TestAccessListMistakes(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), listed(t, block)
	with.Block.AccessListRLP = nil
	_, _, err := executor.ExecuteWithAccessList(context.Background(), with)
	if !errors.Is(err, braid.ErrCaller) {
		t.Fatal(err)
	}
	with = listed(t, block)
	with.Reader = &faulty{Dump: block, at: func(int64) error { return errDisk }}
	_, _, err = executor.ExecuteWithAccessList(context.Background(), with)
	if !errors.Is(err, errDisk) || !errors.Is(err, braid.ErrHost) {
		t.Fatal(err)
	}
	if _, err = executor.ProduceAccessList(context.Background(), with); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	with = listed(t, block)
	with.Block.Senders[1] = braid.Address{0xee}
	var invalid *braid.BlockInvalidError
	_, _, err = executor.ExecuteWithAccessList(context.Background(), with)
	if !errors.As(err, &invalid) || invalid.TxIndex != 1 {
		t.Fatal(err)
	}
	usable(t, executor, small(t))
	executor.Close()
	_, _, err = executor.ExecuteWithAccessList(context.Background(), listed(t, small(t)))
	_, produced := executor.ProduceAccessList(context.Background(), listed(t, small(t)))
	if !errors.Is(err, braid.ErrClosed) || !errors.Is(produced, braid.ErrClosed) {
		t.Fatal(err, produced)
	}
}
