//! A tiny assembler.

use alloy_primitives::{Address, U256};
use revm::bytecode::opcode as op;

/// Bytecode in the making.
#[derive(Debug, Default, Clone)]
pub struct Code(pub Vec<u8>);

impl Code {
    pub fn op(&mut self, code: u8) -> &mut Self {
        self.0.push(code);
        self
    }

    pub fn push(&mut self, value: u8) -> &mut Self {
        self.0.extend([op::PUSH1, value]);
        self
    }

    pub fn word(&mut self, value: U256) -> &mut Self {
        self.0.push(op::PUSH32);
        self.0.extend(value.to_be_bytes::<32>());
        self
    }

    pub fn address(&mut self, address: Address) -> &mut Self {
        self.0.push(op::PUSH20);
        self.0.extend(address);
        self
    }

    /// Stores the top of the stack.
    pub fn store(&mut self, slot: u8) -> &mut Self {
        self.push(slot).op(op::SSTORE)
    }

    pub fn load(&mut self, slot: u8) -> &mut Self {
        self.push(slot).op(op::SLOAD)
    }

    /// The word of the call's data that begins at this byte.
    pub fn arg(&mut self, at: u8) -> &mut Self {
        self.push(at).op(op::CALLDATALOAD)
    }

    /// Stores the top of the stack in the slot that the call's data names.
    pub fn store_at_arg(&mut self) -> &mut Self {
        self.arg(0).op(op::SSTORE)
    }

    /// Adds one to a slot.
    pub fn count(&mut self, slot: u8) -> &mut Self {
        self.load(slot).push(1).op(op::ADD).store(slot)
    }

    /// Calls with all gas and no data; leaves whether that succeeded.
    pub fn call(&mut self, to: Address, value: u8) -> &mut Self {
        self.push(0).push(0).push(0).push(0).push(value).address(to).op(op::GAS).op(op::CALL)
    }

    /// As [`Self::call`], with little gas: before EIP-150 nobody can give all of it.
    pub fn call_with_little(&mut self, to: Address, value: u8) -> &mut Self {
        self.push(0).push(0).push(0).push(0).push(value).address(to).push(100).op(op::CALL)
    }

    /// As [`Self::call`], with the first word of this call's data as data.
    pub fn call_with_arg(&mut self, to: Address) -> &mut Self {
        self.arg(0).push(0).op(op::MSTORE);
        self.push(0).push(0).push(32).push(0).push(0).address(to).op(op::GAS).op(op::CALL)
    }

    /// Leaves the code of this execution's data at memory 0 and its length on the stack.
    pub fn data_to_memory(&mut self) -> &mut Self {
        self.op(op::CALLDATASIZE).push(0).push(0).op(op::CALLDATACOPY).op(op::CALLDATASIZE)
    }

    /// Runs the first part where the call has no data, else the second; stops after either.
    pub fn if_data(&mut self, without: &Self, with: &Self) -> &mut Self {
        let jump = self.0.len() + 4 + without.0.len() + 1;
        let target = u8::try_from(jump).expect("a short program");
        self.op(op::CALLDATASIZE).push(target).op(op::JUMPI);
        self.0.extend(&without.0);
        self.op(op::STOP).op(op::JUMPDEST);
        self.0.extend(&with.0);
        self.op(op::STOP)
    }

    pub fn build(&self) -> Vec<u8> {
        self.0.clone()
    }
}

/// A program from what the closure appends.
pub fn asm(write: impl FnOnce(&mut Code) -> &mut Code) -> Vec<u8> {
    part(write).0
}

/// As [`asm`], to be put into another program.
pub fn part(write: impl FnOnce(&mut Code) -> &mut Code) -> Code {
    let mut code = Code::default();
    write(&mut code);
    code
}

/// Init code that deploys this runtime code.
pub fn init_code(runtime: &[u8]) -> Vec<u8> {
    let length = u16::try_from(runtime.len()).expect("a short program").to_be_bytes();
    let mut code = vec![op::PUSH2, length[0], length[1], op::DUP1, op::PUSH1, 12, op::PUSH1, 0];
    code.extend([op::CODECOPY, op::PUSH1, 0, op::RETURN]);
    code.extend(runtime);
    code
}

/// A contract that deploys its call's data by CREATE2 with salt zero and stores the new address, or
/// zero, in the slot of its caller.
pub fn factory() -> Vec<u8> {
    asm(|code| {
        code.push(0).data_to_memory().push(0).push(0).op(op::CREATE2).op(op::CALLER).op(op::SSTORE)
    })
}
