// Package dump reads the blocks that `cargo run -p braid-tests --example dump` writes, feeds them
// to braid, and compares the result with what the header and sequential execution say.
//
// The format is described in tests/examples/dump.rs. A [Dump] never changes after [Read], and so
// may be read by several threads at once, as braid does.
package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	braid "github.com/braid-evm/braid/bindings/go"
)

var errAbsent = errors.New("not in the dump")

type account struct {
	address braid.Address
	account braid.Account
	slots   map[braid.Hash]braid.Hash
}

// Dump is a block with its parent state and what executing it must give.
type Dump struct {
	// GasUsed is the header's.
	GasUsed uint64
	// HasBody says that the body is the one that the header means: the block can be imported.
	HasBody bool

	chain                      []byte
	hasStatus, hasRequests     bool
	receiptsRoot, requestsHash braid.Hash
	logsBloom                  braid.Bloom
	digest                     uint64
	requests                   [][]byte
	accessList                 []byte
	produced                   []byte
	rlp, header, ommers, drawn []byte
	senders                    []braid.Address
	transactions               [][]byte
	accounts                   map[braid.Address]account
	codes                      map[braid.Hash][]byte
	hashes                     map[uint64]braid.Hash
}

// Files are the dumped blocks of a folder, sorted by name.
func Files(folder string) ([]string, error) {
	return filepath.Glob(filepath.Join(folder, "*.block"))
}

// Read reads a dumped block. An error names the file.
func Read(path string) (*Dump, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Dump{}
	from := &cursor{rest: text}
	d.read(from)
	if err := from.end(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d *Dump) read(from *cursor) {
	if string(from.take(8)) != "BRAIDBK1" {
		from.err = errors.New("not a dumped block")
		return
	}
	d.chain = from.bytes()
	expected := &cursor{rest: from.bytes()}
	d.readExpected(expected)
	if err := expected.end(); err != nil {
		from.err = err
	}
	d.rlp, d.header, d.ommers, d.drawn = from.bytes(), from.bytes(), from.bytes(), from.bytes()
	for count := from.number(); count > 0 && from.err == nil; count-- {
		d.senders = append(d.senders, braid.Address(from.take(20)))
		d.transactions = append(d.transactions, from.bytes())
	}
	d.readState(from)
}

func (d *Dump) readExpected(from *cursor) {
	d.GasUsed, d.hasStatus = from.number(), from.number() != 0
	d.receiptsRoot = braid.Hash(from.take(32))
	d.logsBloom = braid.Bloom(from.take(256))
	d.digest, d.hasRequests = from.number(), from.number() != 0
	d.requestsHash = braid.Hash(from.take(32))
	for count := from.number(); count > 0 && from.err == nil; count-- {
		d.requests = append(d.requests, from.bytes())
	}
	d.accessList, d.produced = from.bytes(), from.bytes()
	d.HasBody = from.number() != 0
}

func (d *Dump) readState(from *cursor) {
	d.accounts = map[braid.Address]account{}
	for count := from.number(); count > 0 && from.err == nil; count-- {
		of := account{address: braid.Address(from.take(20)), slots: map[braid.Hash]braid.Hash{}}
		of.account.Nonce = from.number()
		of.account.Balance = braid.U256(from.take(32))
		of.account.CodeHash = braid.Hash(from.take(32))
		for slots := from.number(); slots > 0 && from.err == nil; slots-- {
			key := braid.Hash(from.take(32))
			of.slots[key] = braid.Hash(from.take(32))
		}
		d.accounts[of.address] = of
	}
	d.codes = map[braid.Hash][]byte{}
	for count := from.number(); count > 0 && from.err == nil; count-- {
		hash := braid.Hash(from.take(32))
		d.codes[hash] = from.bytes()
	}
	d.hashes = map[uint64]braid.Hash{}
	for count := from.number(); count > 0 && from.err == nil; count-- {
		number := from.number()
		d.hashes[number] = braid.Hash(from.take(32))
	}
}

// Chain makes the chain's rules.
func (d *Dump) Chain() (*braid.Chain, error) {
	if bytes.HasPrefix(d.chain, []byte("{")) {
		return braid.ChainFromConfig(d.chain)
	}
	return braid.ChainByName(string(d.chain))
}

// Whole is the block as one RLP, its senders to be recovered.
func (d *Dump) Whole() *braid.Block { return &braid.Block{RLP: d.rlp} }

// Parts is the block as header, transactions and senders; with the access list that it yields.
func (d *Dump) Parts() *braid.Block {
	return &braid.Block{
		HeaderRLP:      d.header,
		Transactions:   d.transactions,
		OmmersRLP:      d.ommers,
		WithdrawalsRLP: d.drawn,
		Senders:        d.senders,
		AccessListRLP:  d.accessList,
	}
}

// Prestate makes the parent state in memory.
func (d *Dump) Prestate() (*braid.Prestate, error) {
	state, err := braid.NewPrestate()
	if err != nil {
		return nil, err
	}
	for address, of := range d.accounts {
		var slots []braid.Slot
		for key, value := range of.slots {
			slots = append(slots, braid.Slot{Key: key, Value: value})
		}
		err = errors.Join(err, state.SetAccount(address, of.account))
		err = errors.Join(err, state.SetStorage(address, slots))
	}
	for hash, code := range d.codes {
		computed, failed := state.AddCode(code)
		if computed != hash {
			failed = errors.Join(failed, fmt.Errorf("code %x has the hash %x", hash, computed))
		}
		err = errors.Join(err, failed)
	}
	for number, hash := range d.hashes {
		err = errors.Join(err, state.SetBlockHash(number, hash))
	}
	return state, err
}

// Account implements [braid.Reader].
func (d *Dump) Account(address braid.Address) (braid.Account, bool, error) {
	of, exists := d.accounts[address]
	return of.account, exists, nil
}

// Storage implements [braid.Reader].
func (d *Dump) Storage(address braid.Address, key braid.Hash) (braid.Hash, error) {
	return d.accounts[address].slots[key], nil
}

// Code implements [braid.Reader].
func (d *Dump) Code(hash braid.Hash) ([]byte, error) {
	code, known := d.codes[hash]
	if !known {
		return nil, errAbsent
	}
	return code, nil
}

// BlockHash implements [braid.Reader].
func (d *Dump) BlockHash(number uint64) (braid.Hash, error) {
	hash, known := d.hashes[number]
	if !known {
		return hash, errAbsent
	}
	return hash, nil
}

// ProducedList is the RLP of the block access list that the block yields when it is asked for,
// whatever its fork.
func (d *Dump) ProducedList() []byte { return d.produced }

// Check says what of a result is not the dump's.
func (d *Dump) Check(result *braid.Result) error { return d.check(result, d.accessList) }

// CheckListed is as Check, for a result that was to have the access list whatever the fork.
func (d *Dump) CheckListed(result *braid.Result) error { return d.check(result, d.produced) }

func (d *Dump) check(result *braid.Result, accessList []byte) error {
	var gas uint64
	for _, receipt := range result.Receipts {
		gas += receipt.GasUsed
	}
	checks := []struct {
		what string
		same bool
	}{
		{"gas used", result.GasUsed == d.GasUsed},
		// From Amsterdam on the block's gas is not the sum of what senders pay (EIP-8037).
		{"gas of the receipts", gas == d.GasUsed || d.accessList != nil},
		{"number of receipts", len(result.Receipts) == len(d.transactions)},
		{"status of receipts", result.HasReceiptsRoot == d.hasStatus},
		{"receipts root", !d.hasStatus || result.ReceiptsRoot == d.receiptsRoot},
		{"logs bloom", !d.hasStatus || result.LogsBloom == d.logsBloom},
		{"presence of requests", (result.Requests != nil) == d.hasRequests},
		{"requests", slices.EqualFunc(result.Requests, d.requests, bytes.Equal)},
		{"requests hash", result.RequestsHash == d.requestsHash},
		{"access list", bytes.Equal(result.AccessListRLP, accessList)},
		{"changes and logs", digestOf(result) == d.digest},
	}
	for _, check := range checks {
		if !check.same {
			return fmt.Errorf("another %s than sequential execution and the header", check.what)
		}
	}
	return nil
}

// digestOf is FNV-1a over the changes, the new codes and the logs, as the dump computes it.
func digestOf(result *braid.Result) uint64 {
	digest := uint64(0xcbf29ce484222325)
	add := func(bytes ...byte) {
		for _, b := range bytes {
			digest = (digest ^ uint64(b)) * 0x100000001b3
		}
	}
	for i := range result.Accounts {
		change := &result.Accounts[i]
		add(change.Address[:]...)
		add(marks(change))
		if change.After != (braid.Account{}) {
			add(binary.LittleEndian.AppendUint64(nil, change.After.Nonce)...)
			add(change.After.Balance[:]...)
			add(change.After.CodeHash[:]...)
		}
		for _, slot := range change.Slots {
			add(slot.Key[:]...)
			add(slot.Value[:]...)
		}
	}
	for _, code := range result.Codes {
		add(code.Hash[:]...)
		add(code.Bytes...)
	}
	for _, receipt := range result.Receipts {
		for _, log := range receipt.Logs {
			add(log.Address[:]...)
			for _, topic := range log.Topics {
				add(topic[:]...)
			}
			add(log.Data...)
		}
	}
	return digest
}

func marks(change *braid.AccountChange) (marks byte) {
	for bit, mark := range []bool{change.Created, change.Destroyed, change.Wiped} {
		if mark {
			marks |= 1 << bit
		}
	}
	return marks
}
