package braid

import "time"

// Address is the address of an account.
type Address [20]byte

// Hash is a Keccak-256 hash, or 32 bytes of storage.
type Hash [32]byte

// U256 is a 256-bit number, big-endian; a balance is in wei.
type U256 [32]byte

// Bloom is a filter over logs, as in a header.
type Bloom [256]byte

// EmptyCodeHash is the Keccak-256 of no code.
var EmptyCodeHash = Hash{
	0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c, 0x92, 0x7e, 0x7d, 0xb2, 0xdc, 0xc7, 0x03, 0xc0,
	0xe5, 0x00, 0xb6, 0x53, 0xca, 0x82, 0x27, 0x3b, 0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70,
}

// Account is an account without its storage.
type Account struct {
	// Nonce counts the account's transactions, or its creations.
	Nonce uint64
	// Balance is in wei.
	Balance U256
	// CodeHash is the Keccak-256 of the code. All zeros is read as [EmptyCodeHash].
	CodeHash Hash
}

// Slot is a storage slot with its value.
type Slot struct {
	// Key is the slot's number.
	Key Hash
	// Value is zero where the slot was never set.
	Value Hash
}

// Reader reads the parent state of a block. Its methods are called by the executor's threads, at
// the same time unless [Request.Serial] is set, and only while the call runs that was
// given the reader. They may
// block. They must not execute a block: that is answered by an error.
//
// An error or a panic of a method is a failed read. It comes back from Execute, wrapped, if the
// block could not be executed without the value; a speculation that fails costs nothing.
type Reader interface {
	// Account reads an account; false where it does not exist.
	Account(address Address) (Account, bool, error)
	// Storage reads a slot of an account that exists; zero where it was never set.
	Storage(address Address, key Hash) (Hash, error)
	// Code reads the code with this hash, which is never that of no code. Nil is a failed read, and
	// so is a code with another hash. The executor keeps codes between blocks.
	Code(hash Hash) ([]byte, error)
	// BlockHash reads the hash of an ancestor, at most 256 blocks back.
	BlockHash(number uint64) (Hash, error)
}

// Block is a block to execute: either RLP is all of it, or HeaderRLP and the fields after it are
// its parts. The bytes are not changed and not kept.
type Block struct {
	// RLP is the whole block as peers exchange it.
	RLP []byte
	// HeaderRLP is the header.
	HeaderRLP []byte
	// Transactions are as in EIP-2718: type and payload, or the RLP of a legacy transaction;
	// without blob sidecar.
	Transactions [][]byte
	// OmmersRLP is the list of ommer headers; nil where there are none.
	OmmersRLP []byte
	// WithdrawalsRLP is the list of withdrawals (EIP-4895); nil before Shanghai.
	WithdrawalsRLP []byte
	// Senders are those of the transactions, for either form, which the caller has verified; nil:
	// the library recovers them, in parallel.
	Senders []Address
	// AccessListRLP is the block access list (EIP-7928); nil where there is none. A hint, but for
	// [Executor.ExecuteWithAccessList], which needs it.
	AccessListRLP []byte
}

// Request is what to execute. Chain, Block, and one of Reader and Prestate are needed.
type Request struct {
	// Chain holds the rules.
	Chain *Chain
	// Block is the block.
	Block *Block
	// Reader reads the parent state; nil where Prestate is given.
	Reader Reader
	// Serial calls one method of Reader at a time.
	Serial bool
	// SlowReads says that a read takes much longer than the step of a transaction that asks for it
	// (from some 30 microseconds on): as many reads are then under way as the executor has threads,
	// which should be several times as many as there are cores. Not together with Serial.
	SlowReads bool
	// Prestate is the parent state; nil where Reader is given.
	Prestate *Prestate
	// CheckHeader compares the result with the header: gas used, receipts root, logs bloom, blob
	// gas, requests hash, block access list hash; not the state root, nor the receipts root before
	// Byzantium.
	CheckHeader bool
	// ReceiptsRLP asks for [Result.ReceiptsRLP].
	ReceiptsRLP bool
	// Timeout is after how long the execution is abandoned; 0: never. It is looked at between
	// transactions, as the context is.
	Timeout time.Duration
}

// RangeRequest is consecutive blocks to execute. Chain, and one of Reader and Prestate are needed.
type RangeRequest struct {
	// Chain holds the rules.
	Chain *Chain
	// Blocks are the blocks, each one the parent of the next.
	Blocks []*Block
	// Reader reads the state before the first block; nil where Prestate is given.
	Reader Reader
	// Serial calls one method of Reader at a time.
	Serial bool
	// SlowReads says that a read takes much longer than the step of a transaction that asks for it
	// (from some 30 microseconds on): as many reads are then under way as the executor has threads,
	// which should be several times as many as there are cores. Not together with Serial.
	SlowReads bool
	// Prestate is the state before the first block; nil where Reader is given.
	Prestate *Prestate
	// CheckHeader compares each result with its header, as [Request.CheckHeader] does.
	CheckHeader bool
	// ReceiptsRLP asks for [Result.ReceiptsRLP] of each block.
	ReceiptsRLP bool
	// Timeout is after how long the range is abandoned; 0: never.
	Timeout time.Duration
}

// Options say how an executor works. Nothing here changes a result.
type Options struct {
	// Threads execute a block, the calling one included; 0: one per core. At most 1024.
	Threads int
	// Forced speculates on every block, however small. For tests.
	Forced bool
}

// Log is a log of a transaction.
type Log struct {
	// Address is the contract that logged.
	Address Address
	// Topics are at most 4.
	Topics []Hash
	// Data is not nil.
	Data []byte
}

// Receipt is the receipt of one transaction.
type Receipt struct {
	// Type is the transaction's (EIP-2718).
	Type uint8
	// Success is false where the transaction reverted.
	Success bool
	// CumulativeGasUsed is the gas of the block up to and with this transaction.
	CumulativeGasUsed uint64
	// GasUsed is the gas of this transaction.
	GasUsed uint64
	// LogsBloom is the bloom of the logs.
	LogsBloom Bloom
	// Logs are in the order in which they were made.
	Logs []Log
}

// AccountChange is the net effect of a block on one account.
type AccountChange struct {
	// Address is the account's.
	Address Address
	// Created says that the account did not exist before the block and does after it.
	Created bool
	// Destroyed says that it existed before the block and does not after it.
	Destroyed bool
	// Wiped says that all storage from before the block is gone: what Slots does not list is zero.
	Wiped bool
	// Before is all zeros where the account did not exist.
	Before Account
	// After is all zeros where the account does not exist.
	After Account
	// Slots are the changed slots with their values after the block, sorted by key; with Wiped
	// every slot that is not zero.
	Slots []Slot
}

// Code is a code with its hash.
type Code struct {
	// Hash is the Keccak-256 of Bytes.
	Hash Hash
	// Bytes is the code.
	Bytes []byte
}

// Statistics count what one execution did. None of them influences a result.
type Statistics struct {
	// Workers is how many threads took part, the calling one included.
	Workers int
	// Executions is how many times a transaction was executed, repeated executions included.
	Executions uint64
	// Reexecutions were repeated in order.
	Reexecutions uint64
	// Direct were executed in order at once, without speculation.
	Direct uint64
	// Discarded failed and were thrown away.
	Discarded uint64
	// FellBack says that the executor stopped speculating on this block.
	FellBack bool
	// Reads are those that the reader was asked for.
	Reads uint64
	// Decode, Execute, Result and Roots are the times to decode the block and recover its senders,
	// to execute it with waiting for the executor, to make the result, and, in that, its roots.
	Decode, Execute, Result, Roots time.Duration
}

// Result is everything that a valid block yields. The same block gives the same values, whatever
// the threads, but for Statistics. It holds copies and needs no Close.
type Result struct {
	// GasUsed is the block's.
	GasUsed uint64
	// BlobGasUsed is the block's (EIP-4844).
	BlobGasUsed uint64
	// HasReceiptsRoot says that receipts have a status (EIP-658), so that ReceiptsRoot is that of
	// the header.
	HasReceiptsRoot bool
	// ReceiptsRoot is the root of the receipts.
	ReceiptsRoot Hash
	// LogsBloom is the union of the receipts' blooms.
	LogsBloom Bloom
	// Requests (EIP-7685) have their type byte in front, and none is empty; nil where the fork has
	// none, not nil but perhaps empty where it has.
	Requests [][]byte
	// RequestsHash is the hash of Requests.
	RequestsHash Hash
	// Receipts has one receipt per transaction.
	Receipts []Receipt
	// Accounts are the changed accounts, sorted by address.
	Accounts []AccountChange
	// Codes are what changed accounts newly have, sorted by hash.
	Codes []Code
	// ReceiptsRLP is as peers exchange it; nil unless the request asked for it.
	ReceiptsRLP []byte
	// AccessListRLP is the block access list (EIP-7928); nil where the fork has none and nobody
	// asked for it.
	AccessListRLP []byte
	// Statistics tell what the executor did.
	Statistics Statistics
}

// Imported is a block that agrees with its header in everything but the state root, which was not
// looked at. It holds copies and needs no Close.
type Imported struct {
	// Result is what the block yields.
	Result *Result
	// BlockHash is the hash of the block.
	BlockHash Hash
	// Senders are those of the transactions, recovered from the signatures.
	Senders []Address
}
