package gethadapter

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/klauspost/compress/zstd"
)

// recorder is a source that remembers what was read, so that the block can be executed again
// without the node.
type recorder struct {
	source
	mu       sync.Mutex
	accounts map[braid.Address]braid.Account
	slots    map[braid.Address]map[braid.Hash]braid.Hash
	codes    map[braid.Hash][]byte
	hashes   map[uint64]braid.Hash
}

func newRecorder(over source) *recorder {
	return &recorder{
		source:   over,
		accounts: map[braid.Address]braid.Account{},
		slots:    map[braid.Address]map[braid.Hash]braid.Hash{},
		codes:    map[braid.Hash][]byte{},
		hashes:   map[uint64]braid.Hash{},
	}
}

// Account implements braid.Reader.
func (r *recorder) Account(address braid.Address) (braid.Account, bool, error) {
	account, exists, err := r.source.Account(address)
	if err == nil && exists {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.accounts[address] = account
	}
	return account, exists, err
}

// Storage implements braid.Reader.
func (r *recorder) Storage(address braid.Address, key braid.Hash) (braid.Hash, error) {
	value, err := r.source.Storage(address, key)
	if err == nil && value != (braid.Hash{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.slots[address] == nil {
			r.slots[address] = map[braid.Hash]braid.Hash{}
		}
		r.slots[address][key] = value
	}
	return value, err
}

// Code implements braid.Reader.
func (r *recorder) Code(hash braid.Hash) ([]byte, error) {
	code, err := r.source.Code(hash)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.codes[hash] = code
	}
	return code, err
}

// BlockHash implements braid.Reader.
func (r *recorder) BlockHash(number uint64) (braid.Hash, error) {
	hash, err := r.source.BlockHash(number)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hashes[number] = hash
	}
	return hash, err
}

// record writes the block with what braid read, in the form that `braid replay` reads, and gives
// the file's path; empty where no folder was given.
func (p *Processor) record(block *types.Block, from *recorder) (string, error) {
	if p.options.Folder == "" {
		return "", nil
	}
	document, err := p.document(block, from)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return "", err
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return "", err
	}
	defer encoder.Close()
	if err := os.MkdirAll(p.options.Folder, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(p.options.Folder, block.Number().String()+".json.zst")
	partial, err := os.CreateTemp(p.options.Folder, ".partial-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(partial.Name())
	_, err = partial.Write(encoder.EncodeAll(text, nil))
	if closed := partial.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return "", err
	}
	return path, os.Rename(partial.Name(), path)
}

// object is a JSON object.
type object = map[string]any

func (p *Processor) document(block *types.Block, from *recorder) (object, error) {
	encoded, err := p.blockDocument(block)
	if err != nil {
		return nil, err
	}
	document := object{
		"chainId":     p.config.ChainID,
		"config":      p.rulesConfig(),
		"block":       encoded,
		"complete":    true,
		"prestate":    from.prestate(),
		"blockHashes": from.blockHashes(),
	}
	if parent := p.bc.GetHeader(block.ParentHash(), block.NumberU64()-1); parent != nil {
		if document["parent"], err = fields(parent); err != nil {
			return nil, err
		}
	}
	return document, nil
}

// fields are those of a JSON object that are not null.
func fields(of any) (object, error) {
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	into := object{}
	if err := json.Unmarshal(text, &into); err != nil {
		return nil, err
	}
	for key, value := range into {
		if value == nil {
			delete(into, key)
		}
	}
	return into, nil
}

// blockDocument is the answer of eth_getBlockByNumber with full transactions, and the headers of
// the ommers.
func (p *Processor) blockDocument(block *types.Block) (object, error) {
	document, err := fields(block.Header())
	if err != nil {
		return nil, err
	}
	signer := types.MakeSigner(p.config, block.Number(), block.Time())
	transactions, uncles, ommers := []object{}, []common.Hash{}, []object{}
	for i, tx := range block.Transactions() {
		encoded, err := fields(tx)
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, err)
		}
		if sender, err := types.Sender(signer, tx); err == nil {
			encoded["from"] = sender
		}
		transactions = append(transactions, encoded)
	}
	for _, ommer := range block.Uncles() {
		encoded, err := fields(ommer)
		if err != nil {
			return nil, err
		}
		uncles, ommers = append(uncles, ommer.Hash()), append(ommers, encoded)
	}
	document["hash"], document["transactions"] = block.Hash(), transactions
	document["uncles"] = uncles
	if len(ommers) > 0 {
		document["ommers"] = ommers
	}
	if block.Withdrawals() != nil {
		document["withdrawals"] = block.Withdrawals()
	}
	return document, nil
}

// prestate has the form of geth's prestateTracer.
func (r *recorder) prestate() object {
	r.mu.Lock()
	defer r.mu.Unlock()
	prestate := object{}
	for address, account := range r.accounts {
		entry := object{
			"balance": hexutil.EncodeBig(common.Hash(account.Balance).Big()),
			"nonce":   account.Nonce,
		}
		// A code that the executor knew from an earlier block was not read again.
		code := r.codes[account.CodeHash]
		if code == nil && account.CodeHash != braid.EmptyCodeHash {
			code = r.state().Code(common.Address(address), common.Hash(account.CodeHash))
		}
		if len(code) > 0 {
			entry["code"] = hexutil.Bytes(code)
		}
		if slots := r.slots[address]; len(slots) > 0 {
			storage := map[common.Hash]common.Hash{}
			for key, value := range slots {
				storage[common.Hash(key)] = common.Hash(value)
			}
			entry["storage"] = storage
		}
		prestate[common.Address(address).Hex()] = entry
	}
	return prestate
}

func (r *recorder) blockHashes() map[string]common.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	hashes := map[string]common.Hash{}
	for number, hash := range r.hashes {
		hashes[strconv.FormatUint(number, 10)] = common.Hash(hash)
	}
	return hashes
}
