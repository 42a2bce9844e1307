package chains

import (
	"encoding/binary"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
)

// Contracts of the generated chains, in Byzantium's instructions but for the factory.
var (
	tokenAddress   = common.HexToAddress("0x7070000000000000000000000000000000000001")
	poolAddress    = common.HexToAddress("0x7070000000000000000000000000000000000002")
	factoryAddress = common.HexToAddress("0x7070000000000000000000000000000000000003")
	observer       = common.HexToAddress("0x7070000000000000000000000000000000000004")
	depositAddress = common.HexToAddress("0x7070000000000000000000000000000000000005")
	grinder        = common.HexToAddress("0x7070000000000000000000000000000000000006")
	oldMortal      = common.HexToAddress("0x7070000000000000000000000000000000000007")
	// Forwarder calls what it is told to call, and stores whether that succeeded.
	Forwarder    = common.HexToAddress("0x7070000000000000000000000000000000000009")
	emptyAddress = common.HexToAddress("0x7070000000000000000000000000000000000008")
)

// assemble joins instructions, bytes, and numbers, which are pushed.
func assemble(parts ...any) []byte {
	var code []byte
	for _, part := range parts {
		switch part := part.(type) {
		case vm.OpCode:
			code = append(code, byte(part))
		case []byte:
			code = append(code, part...)
		case int:
			code = append(code, byte(vm.PUSH2))
			code = binary.BigEndian.AppendUint16(code, uint16(part))
		}
	}
	return code
}

// tokenCode moves an amount (word 1) from the caller to an account (word 0); a balance is the slot
// with the account's number, and may fall below zero. It also counts its transfers, in one slot.
func tokenCode() []byte {
	return assemble(
		32, vm.CALLDATALOAD, vm.DUP1, vm.CALLER, vm.SLOAD, vm.SUB, vm.CALLER, vm.SSTORE,
		0, vm.CALLDATALOAD, vm.DUP1, vm.SLOAD, vm.DUP3, vm.ADD, vm.DUP2, vm.SSTORE,
		vm.DUP2, 0, vm.MSTORE, vm.CALLER, 32, 0, vm.LOG2,
		0, vm.SLOAD, 1, vm.ADD, 0, vm.SSTORE, vm.STOP,
	)
}

// poolCode swaps an amount (word 0) of the first reserve for some of the second one, x * y = k.
func poolCode() []byte {
	return assemble(
		// out = reserve1 * in / (reserve0 + in)
		0, vm.CALLDATALOAD, 0, vm.SLOAD, vm.DUP2, vm.ADD, vm.DUP1,
		vm.DUP3, 1, vm.SLOAD, vm.MUL, vm.DIV,
		vm.DUP1, 1, vm.SLOAD, vm.SUB, 1, vm.SSTORE,
		vm.SWAP1, 0, vm.SSTORE,
		// What the caller got is kept under its number.
		vm.DUP1, vm.CALLER, vm.SLOAD, vm.ADD, vm.CALLER, vm.SSTORE,
		0, vm.MSTORE, vm.CALLER, 32, 0, vm.LOG1, vm.STOP,
	)
}

// mortalCode counts calls and marks the block; with data it destroys itself in the caller's favour.
func mortalCode() []byte {
	body := func(end int) []byte {
		return assemble(
			vm.CALLDATASIZE, end, vm.JUMPI,
			0, vm.SLOAD, 1, vm.ADD, 0, vm.SSTORE,
			vm.TIMESTAMP, vm.NUMBER, vm.SSTORE, vm.STOP,
		)
	}
	end := len(body(0))
	return append(body(end), assemble(vm.JUMPDEST, vm.CALLER, vm.SELFDESTRUCT)...)
}

// mortalInit creates a mortal contract, at most 255 bytes long.
func mortalInit() []byte {
	runtime := mortalCode()
	header := func(at int) []byte {
		return assemble(len(runtime), vm.DUP1, at, 0, vm.CODECOPY, 0, vm.RETURN)
	}
	return append(header(len(header(0))), runtime...)
}

// factoryCode creates a mortal contract by CREATE2 with a salt (word 0), calls it without data, and
// with a byte of data where word 1 is not zero, so that it comes and goes in one transaction.
func factoryCode() []byte {
	init := mortalInit()
	body := func(end, at int) []byte {
		return assemble(
			len(init), at, 0, vm.CODECOPY,
			0, vm.CALLDATALOAD, len(init), 0, vm.CALLVALUE, vm.CREATE2,
			0, 0, 0, 0, 0, vm.DUP6, vm.GAS, vm.CALL, vm.POP,
			32, vm.CALLDATALOAD, vm.ISZERO, end, vm.JUMPI,
			0, 0, 1, 0, 0, vm.DUP6, vm.GAS, vm.CALL, vm.POP,
			vm.JUMPDEST, vm.STOP,
		)
	}
	length := len(body(0, 0))
	return append(body(length-2, length), init...)
}

// mortalAddress is what the factory creates with a salt.
func mortalAddress(salt common.Hash) common.Address {
	return create2(factoryAddress, salt, mortalInit())
}

// observerCode stores what it sees of the block: the beneficiary's balance, and the parent's hash
// or, where word 0 is odd, one too far back; geth's chain maker knows no others.
func observerCode() []byte {
	return assemble(
		vm.COINBASE, vm.BALANCE, vm.CALLER, vm.SSTORE,
		0, vm.CALLDATALOAD, 1, vm.AND, 299, vm.MUL, 1, vm.ADD, vm.NUMBER, vm.SUB, vm.BLOCKHASH,
		vm.NUMBER, vm.SSTORE, vm.STOP,
	)
}

// depositCode logs its data as a deposit (EIP-6110).
func depositCode() []byte {
	topic := common.HexToHash("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
	return assemble(
		vm.CALLDATASIZE, 0, 0, vm.CALLDATACOPY,
		append([]byte{byte(vm.PUSH32)}, topic[:]...), vm.CALLDATASIZE, 0, vm.LOG1, vm.STOP,
	)
}

// grinderCode hashes as many times as word 0 says, then adds to the slot that word 1 names.
func grinderCode() []byte {
	body := func(loop, end int) []byte {
		return assemble(
			0, vm.CALLDATALOAD,
			vm.JUMPDEST, vm.DUP1, vm.ISZERO, end, vm.JUMPI,
			32, 0, vm.KECCAK256, vm.DUP1, vm.DUP1, vm.MUL, vm.XOR, 0, vm.MSTORE,
			1, vm.SWAP1, vm.SUB, loop, vm.JUMP,
			vm.JUMPDEST, 0, vm.MLOAD, 32, vm.CALLDATALOAD, vm.SLOAD, vm.ADD,
			32, vm.CALLDATALOAD, vm.SSTORE, vm.STOP,
		)
	}
	prefix := len(assemble(0, vm.CALLDATALOAD))
	loop := assemble(
		vm.JUMPDEST, vm.DUP1, vm.ISZERO, 0, vm.JUMPI,
		32, 0, vm.KECCAK256, vm.DUP1, vm.DUP1, vm.MUL, vm.XOR, 0, vm.MSTORE,
		1, vm.SWAP1, vm.SUB, 0, vm.JUMP,
	)
	return body(prefix, prefix+len(loop))
}

// forwarderCode calls the account in word 0 with all data from word 2 on, and stores whether it
// succeeded in the slot that word 1 names.
func forwarderCode() []byte {
	return assemble(
		64, vm.CALLDATASIZE, vm.SUB, vm.DUP1, 64, 0, vm.CALLDATACOPY,
		256, 0, vm.DUP3, 0, 0, 0, vm.CALLDATALOAD, vm.GAS, vm.CALL,
		32, vm.CALLDATALOAD, vm.SSTORE, vm.STOP,
	)
}

// words are 32-byte words, one after the other.
func words(values ...common.Hash) []byte {
	var data []byte
	for _, value := range values {
		data = append(data, value[:]...)
	}
	return data
}

func number(value uint64) common.Hash {
	var word common.Hash
	binary.BigEndian.PutUint64(word[24:], value)
	return word
}

func contracts() types.GenesisAlloc {
	slots := map[common.Hash]common.Hash{{}: number(1 << 60), number(1): number(1 << 60)}
	return types.GenesisAlloc{
		tokenAddress:   {Code: tokenCode()},
		poolAddress:    {Code: poolCode(), Storage: slots},
		factoryAddress: {Code: factoryCode()},
		observer:       {Code: observerCode()},
		depositAddress: {Code: depositCode()},
		grinder:        {Code: grinderCode()},
		Forwarder:      {Code: forwarderCode()},
		oldMortal:      {Code: mortalCode(), Storage: slots, Balance: bigEther(1)},
	}
}
