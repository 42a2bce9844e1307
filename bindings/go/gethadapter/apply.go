package gethadapter

import (
	"fmt"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// changes are the net effect of a block, checked, so that writing them cannot fail half-way.
type changes struct {
	accounts []change
	// wiped are destroyed first: those that are gone, and those whose storage is.
	wiped []common.Address
}

type change struct {
	*braid.AccountChange
	// fresh says that nothing of the account before the block is left.
	fresh bool
	code  []byte
}

// newChanges looks up all that writing needs. From Cancun on (EIP-6780) no account with storage can
// be destroyed, and geth could not commit it.
func newChanges(result *braid.Result, from state.Reader, cancun bool) (*changes, error) {
	codes := make(map[braid.Hash][]byte, len(result.Codes))
	for _, code := range result.Codes {
		codes[code.Hash] = code.Bytes
	}
	all := &changes{accounts: make([]change, 0, len(result.Accounts))}
	for i := range result.Accounts {
		c := change{AccountChange: &result.Accounts[i]}
		c.fresh = c.Created
		if c.Destroyed || c.Wiped {
			origin, err := from.Account(common.Address(c.Address))
			if err != nil {
				return nil, fmt.Errorf("gethadapter: account %x: %w", c.Address, err)
			}
			stored := origin != nil && origin.Root != types.EmptyRootHash
			if stored && cancun {
				return nil, fmt.Errorf("gethadapter: account %x: storage lost on Cancun", c.Address)
			}
			if c.Destroyed || stored {
				all.wiped = append(all.wiped, common.Address(c.Address))
				c.fresh = true
			}
		}
		if err := c.findCode(codes, from); err != nil {
			return nil, err
		}
		all.accounts = append(all.accounts, c)
	}
	return all, nil
}

// findCode finds the code that has to be written, if any.
func (c *change) findCode(codes map[braid.Hash][]byte, from state.Reader) error {
	hash := c.After.CodeHash
	if c.Destroyed || hash == braid.EmptyCodeHash || !c.fresh && hash == c.Before.CodeHash {
		return nil
	}
	code, known := codes[hash]
	if !known {
		code = from.Code(common.Address(c.Address), common.Hash(hash))
	}
	if len(code) == 0 {
		return fmt.Errorf("gethadapter: account %x: no code with the hash %x", c.Address, hash)
	}
	c.code = code
	return nil
}

// apply writes the changes and finalises them, as geth does after each transaction.
func (all *changes) apply(statedb *state.StateDB) {
	for _, address := range all.wiped {
		statedb.SelfDestruct(address)
	}
	if len(all.wiped) > 0 {
		// What is written afterwards belongs to a new account.
		statedb.Finalise(true)
	}
	for i := range all.accounts {
		all.accounts[i].apply(statedb)
	}
	statedb.Finalise(true)
}

// apply writes one account. The reasons are for tracers, which make geth execute the block.
func (c *change) apply(statedb *state.StateDB) {
	if c.Destroyed {
		return
	}
	address := common.Address(c.Address)
	if c.fresh || c.After.Nonce != c.Before.Nonce {
		statedb.SetNonce(address, c.After.Nonce, tracing.NonceChangeUnspecified)
	}
	if c.fresh || c.After.Balance != c.Before.Balance {
		balance := new(uint256.Int).SetBytes32(c.After.Balance[:])
		statedb.SetBalance(address, balance, tracing.BalanceChangeUnspecified)
	}
	if c.code != nil || !c.fresh && c.After.CodeHash != c.Before.CodeHash {
		statedb.SetCode(address, c.code, tracing.CodeChangeUnspecified)
	}
	for i := range c.Slots {
		statedb.SetState(address, common.Hash(c.Slots[i].Key), common.Hash(c.Slots[i].Value))
	}
}
