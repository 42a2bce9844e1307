package gethadapter

import (
	"sync"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
)

// source is where braid reads the parent state from.
type source interface {
	braid.Reader
	// state is geth's reader behind it.
	state() state.Reader
}

// stateReader reads the parent state through geth's reader, which is safe for concurrent use.
type stateReader struct {
	from state.Reader
	// mu guards hashes, which remembers the headers that it has walked.
	mu     sync.Mutex
	hashes func(uint64) common.Hash
}

func newStateReader(bc *core.BlockChain, block *types.Block, from state.Reader) *stateReader {
	return &stateReader{from: from, hashes: core.GetHashFn(block.Header(), bc)}
}

func (r *stateReader) state() state.Reader { return r.from }

// Account implements braid.Reader.
func (r *stateReader) Account(address braid.Address) (braid.Account, bool, error) {
	account, err := r.from.Account(common.Address(address))
	if err != nil || account == nil {
		return braid.Account{}, false, err
	}
	return braid.Account{
		Nonce:    account.Nonce,
		Balance:  account.Balance.Bytes32(),
		CodeHash: braid.Hash(common.BytesToHash(account.CodeHash)),
	}, true, nil
}

// Storage implements braid.Reader.
func (r *stateReader) Storage(address braid.Address, key braid.Hash) (braid.Hash, error) {
	value, err := r.from.Storage(common.Address(address), common.Hash(key))
	return braid.Hash(value), err
}

// Code implements braid.Reader. geth finds codes by their hash alone, where the state is a Merkle
// Patricia trie.
func (r *stateReader) Code(hash braid.Hash) ([]byte, error) {
	return r.from.Code(common.Address{}, common.Hash(hash)), nil
}

// BlockHash implements braid.Reader. As in geth, the hash of an unknown ancestor is zero.
func (r *stateReader) BlockHash(number uint64) (braid.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return braid.Hash(r.hashes(number)), nil
}
