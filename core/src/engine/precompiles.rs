//! The precompiles, as an EVM of the engine calls them.
//!
//! Role: revm's precompiles, but that threads of the pool which have nothing to do take part. A
//! transaction that verifies proofs is often the longest one of its block, and the block cannot
//! end before it, however many cores there are. Actors: the EVM of a worker; those who help
//! ([`crate::pool::Helpers`]).
//!
//! *Shared*: the pairs of a pairing check (EIP-197) are dealt ([`super::pairing`]). What a check
//! costs, and whether it may begin, revm tells of an input of the same length whose points are all
//! at infinity, which it checks in no time: gas and length are all that it looks at before the
//! points. Only the points' answer is put in its place. An input with a point that is none goes to
//! revm.
//!
//! *Beside*: a point evaluation (EIP-4844) and a pairing check over BLS12-381 (EIP-2537) can say
//! one thing only unless they fail, and that is taken for granted: the execution goes on while
//! revm's precompile runs on another thread, or, if nobody comes, on this one at the execution's
//! end. Where it comes to anything else, the execution is thrown away and begins anew
//! ([`Assisted::held`]), and this EVM takes nothing for granted any more: who sends false proofs
//! makes each worker repeat one execution of a block.
//!
//! Invariant: result, gas and error are revm's own. Nothing of an execution is used before what it
//! has taken for granted was found to be so, status, gas and output.

use super::pairing::{self, PAIR, Pairs};
use crate::pool::{Helpers, Offered, Work};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    context::{Cfg, ContextTr},
    handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result},
    interpreter::{CallInput, CallInputs, InstructionResult, InterpreterResult},
    precompile::{
        Precompile, PrecompileOutput,
        bls12_381_const::PAIRING_ADDRESS,
        bn254,
        kzg_point_evaluation::{self as kzg, GAS_COST, RETURN_VALUE},
    },
    primitives::{AddressSet, hardfork::SpecId},
};
use std::time::Instant;

/// Who helps an EVM, and how.
#[derive(Debug, Clone)]
pub(crate) struct Assistance {
    pub(crate) helpers: Helpers,
    /// The caller asks whether what was taken for granted was so.
    pub(crate) beside: bool,
}

/// A call of a precompile that other threads can take part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shareable {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    /// The parts that can be dealt; one: all of it can be done beside the rest of the execution.
    pub(crate) parts: usize,
}

/// One call of a precompile, and what it is expected to come to. The part that is made of it tells
/// whether it did.
struct Call {
    precompile: &'static Precompile,
    input: Bytes,
    gas_limit: u64,
    reservoir: u64,
    expected: PrecompileOutput,
}

impl Work for Call {
    type Part = bool;

    fn len(&self) -> usize {
        1
    }

    fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> bool {
        let Self { precompile, input, gas_limit, reservoir, expected } = self;
        numbers.fold(true, |_, _only| {
            let output = precompile.execute(input, *gas_limit, *reservoir);
            output.is_ok_and(|output| output == *expected)
        })
    }

    fn merge(&self, one: bool, other: bool) -> bool {
        one && other
    }
}

/// The precompiles of one EVM.
pub(crate) struct Assisted {
    eth: EthPrecompiles,
    assistance: Option<Assistance>,
    /// What the execution has taken for granted.
    granted: Vec<Offered<Call>>,
    /// The calls of the execution that threads can take part in.
    pub(super) calls: Vec<Shareable>,
}

impl Assisted {
    /// Without assistance all precompiles are revm's.
    pub(crate) fn new(spec: SpecId, assistance: Option<Assistance>) -> Self {
        let (granted, calls) = Default::default();
        Self { eth: EthPrecompiles::new(spec), assistance, granted, calls }
    }

    /// A new execution begins.
    pub(crate) fn begin(&mut self) {
        self.granted.clear();
        self.calls.clear();
    }

    /// Whether everything was so that the execution has taken for granted; if not, none of it may
    /// be used. Waits for what is not known yet.
    pub(crate) fn held(&mut self) -> bool {
        let so = |call: Offered<Call>| call.finish().unwrap_or(false);
        let held = self.granted.drain(..).all(so);
        if !held && let Some(assistance) = &mut self.assistance {
            assistance.beside = false;
        }
        held
    }

    /// What a pairing check comes to; `None` where the call is revm's own.
    fn shared<CTX>(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
        input: &Bytes,
    ) -> Result<Option<InterpreterResult>, String>
    where
        CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>,
    {
        let Some(Assistance { helpers, .. }) = &self.assistance else { return Ok(None) };
        let infinity = CallInput::Bytes(vec![0; input.len()].into());
        let easy = CallInputs { input: infinity, ..inputs.clone() };
        let Some(mut result) = self.eth.run(context, &easy)? else { return Ok(None) };
        if result.result != InstructionResult::Return {
            return Ok(None);
        }
        let product = helpers.share(Pairs(input.clone())).flatten();
        Ok(pairing::is_one(product).map(|one| {
            result.output = B256::from(U256::from(one)).into();
            result
        }))
    }

    /// What a call is taken to come to; `None` where it is not.
    fn beside(&mut self, inputs: &CallInputs, input: &Bytes) -> Option<InterpreterResult> {
        let Assistance { helpers, .. } = self.assistance.as_ref().filter(|with| with.beside)?;
        let precompile: &'static Precompile = self.eth.precompiles.get(&inputs.bytecode_address)?;
        let CallInputs { gas_limit, reservoir, .. } = *inputs;
        let expected = if inputs.bytecode_address == kzg::ADDRESS {
            PrecompileOutput::new(GAS_COST, RETURN_VALUE.into(), reservoir)
        } else {
            // Points at infinity are checked in no time.
            precompile.execute(&vec![0; input.len()], gas_limit, reservoir).ok()?
        };
        if !expected.is_success() || expected.gas_used > gas_limit {
            return None;
        }
        let output = expected.clone();
        let input = input.clone();
        let call = Call { precompile, input, gas_limit, reservoir, expected };
        self.granted.push(helpers.offer(call));
        Some(precompile_output_to_interpreter_result(output, gas_limit))
    }
}

/// In how many parts threads can take part in a call with so many bytes of input.
fn parts(address: Address, len: usize) -> usize {
    match address {
        bn254::pair::ADDRESS if len >= 2 * PAIR => len / PAIR,
        kzg::ADDRESS | PAIRING_ADDRESS if len > 0 => 1,
        _ => 0,
    }
}

impl<CTX> PrecompileProvider<CTX> for Assisted
where
    CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.eth, spec)
    }

    fn run(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        let parts = parts(inputs.bytecode_address, inputs.input.len());
        if parts == 0 || !self.eth.contains(&inputs.bytecode_address) {
            return self.eth.run(context, inputs);
        }
        let start = Instant::now();
        let input = inputs.input.bytes(context);
        let result = match parts {
            1 => self.beside(inputs, &input),
            _ => self.shared(context, inputs, &input)?,
        };
        let result = match result {
            None => self.eth.run(context, inputs)?,
            result => result,
        };
        self.calls.push(Shareable { start, end: Instant::now(), parts });
        Ok(result)
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.eth.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.eth.contains(address)
    }
}
