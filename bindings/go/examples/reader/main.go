// Command reader executes a block of mainnet, given as RLP, on a state that is a map, and prints
// what the block changes.
//
//	reader BLOCK.rlp [ADDRESS=BALANCE_IN_WEI...]
//
// Accounts that are not given do not exist. It ends with 1 where the block is invalid or the state
// does not suffice, with 2 where it is used wrongly.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"

	braid "github.com/braid-evm/braid/bindings/go"
)

// balances is a state of accounts without code. Nothing changes it, so that braid's threads may
// read it at the same time.
type balances map[braid.Address]braid.Account

// Account implements braid.Reader.
func (b balances) Account(address braid.Address) (braid.Account, bool, error) {
	account, exists := b[address]
	return account, exists, nil
}

// Storage implements braid.Reader.
func (balances) Storage(braid.Address, braid.Hash) (braid.Hash, error) { return braid.Hash{}, nil }

// Code implements braid.Reader.
func (balances) Code(hash braid.Hash) ([]byte, error) { return nil, fmt.Errorf("no code %x", hash) }

// BlockHash implements braid.Reader.
func (balances) BlockHash(number uint64) (braid.Hash, error) {
	return braid.Hash{}, fmt.Errorf("no block %d", number)
}

func parse(argument string) (address braid.Address, account braid.Account, err error) {
	key, value, found := strings.Cut(argument, "=")
	bytes, err := hex.DecodeString(strings.TrimPrefix(key, "0x"))
	if !found || err != nil || len(bytes) != len(address) {
		return address, account, fmt.Errorf("%q is not ADDRESS=BALANCE", argument)
	}
	balance, ok := new(big.Int).SetString(value, 0)
	if !ok || balance.Sign() < 0 || balance.BitLen() > 256 {
		return address, account, fmt.Errorf("%q is not a balance", value)
	}
	balance.FillBytes(account.Balance[:])
	return braid.Address(bytes), account, nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: reader BLOCK.rlp [ADDRESS=BALANCE...]")
		os.Exit(2)
	}
	state := balances{}
	for _, argument := range os.Args[2:] {
		address, account, err := parse(argument)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		state[address] = account
	}
	if err := execute(os.Args[1], state); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func execute(path string, state balances) error {
	rlp, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	chain, err := braid.ChainByName("mainnet")
	if err != nil {
		return err
	}
	defer chain.Close()
	executor, err := braid.NewExecutor(braid.Options{})
	if err != nil {
		return err
	}
	defer executor.Close()
	result, err := executor.Execute(context.Background(), &braid.Request{
		Chain: chain, Block: &braid.Block{RLP: rlp}, Reader: state, CheckHeader: true,
	})
	if errors.Is(err, braid.ErrInvalidBlock) {
		return fmt.Errorf("%s must be rejected: %w", path, err)
	}
	if err != nil {
		return err
	}
	for _, change := range result.Accounts {
		before := new(big.Int).SetBytes(change.Before.Balance[:])
		after := new(big.Int).SetBytes(change.After.Balance[:])
		fmt.Printf("%x: %v wei, then %v wei\n", change.Address, before, after)
	}
	return nil
}
