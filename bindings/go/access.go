package braid

// AccessPart is a part of an account's entry in a block access list (EIP-7928).
type AccessPart uint32

// The parts, in the order in which differences are looked for.
const (
	// AccessAccount is the entry as such: the account was loaded.
	AccessAccount AccessPart = iota
	// AccessStorage is the value of a slot after a transaction.
	AccessStorage
	// AccessStorageRead is a slot that was read and not changed.
	AccessStorageRead
	// AccessBalance is the balance after a transaction.
	AccessBalance
	// AccessNonce is the nonce after a transaction.
	AccessNonce
	// AccessCode is the code after a transaction.
	AccessCode
	// AccessOrder is no part: both lists say the same, but in another order or grouping.
	AccessOrder
)

// AccessValueKind says what an [AccessValue] is.
type AccessValueKind uint32

// What a list may say somewhere.
const (
	// ValueNothing: nothing.
	ValueNothing AccessValueKind = iota
	// ValueAccessed: that it was accessed, no more.
	ValueAccessed
	// ValueWord: a slot's value, or a balance in wei.
	ValueWord
	// ValueNonce: a nonce.
	ValueNonce
	// ValueCode: a code.
	ValueCode
)

// AccessValue is what a list says somewhere.
type AccessValue struct {
	// Kind says which of the other fields holds the value.
	Kind AccessValueKind
	// Number is the word or the nonce; else zero.
	Number U256
	// Code is the code; nil where there is none, or an empty one.
	Code []byte
}

// AccessListMismatch is one difference between a claimed access list and the produced one.
type AccessListMismatch struct {
	// Index is the block access index: 0 for the system calls before the transactions, i+1 for the
	// transaction with index i, one more than the last of them for the block's end; -1 for what a
	// list says of the block as a whole: accounts, reads, order.
	Index int64
	// Address is the account's.
	Address Address
	// Part is the part of the account's entry.
	Part AccessPart
	// Slot is the slot, where the part is one; else zero.
	Slot Hash
	// Claimed is what the claimed list says there.
	Claimed AccessValue
	// Produced is what the execution gave there.
	Produced AccessValue
	// Message says all of it in words.
	Message string
}

// AccessListCheck says how a claimed access list relates to the one that the execution produced.
type AccessListCheck struct {
	// Mismatches is how many entries differ, are missing or are superfluous; 0: the lists are equal.
	Mismatches uint64
	// First is the first of them, by address, then by part, then by index; nil without any.
	First *AccessListMismatch
}
