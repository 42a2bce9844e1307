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
//! revm. So are the halves of a multiplication (EIP-196, [`super::multiplication`]), from an
//! execution's second one on: halves are short, and the first one lets a thread wake up.
//!
//! *Faster*: a multiplication that nobody takes part in is left to arkworks' own way, with the
//! curve's endomorphism, where revm multiplies bit by bit. Gas and refusals are as above.
//!
//! *Beside*: a point evaluation (EIP-4844) can say one thing only unless it fails, and that is
//! taken for granted: the execution goes on while revm's precompile runs on another thread, or, if
//! nobody comes, on this one at the execution's end. Where it comes to anything else, the execution
//! is thrown away and begins anew ([`Assisted::held`]), and this EVM takes nothing for granted any
//! more: who sends false proofs makes each worker repeat one execution of a block. One that fails
//! takes all the gas that it was given, and it is taken for granted only where that is half of the
//! transaction's: so nobody makes the engine do more than twice what is paid for. (A pairing check
//! may say no and give the gas back, so none is taken for granted.)
//!
//! Invariant: result, gas and error are revm's own. Nothing of an execution is used before what it
//! has taken for granted was found to be so, status, gas and output.

use super::{
    multiplication::{self, Halves},
    pairing::{self, PAIR, Pairs},
};
use crate::pool::{Helpers, Offered, Work};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    context::{Cfg, ContextTr, Transaction},
    handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result},
    interpreter::{CallInput, CallInputs, InstructionResult, InterpreterResult},
    precompile::{
        Precompile, PrecompileOutput, bn254,
        kzg_point_evaluation::{self as kzg, GAS_COST, RETURN_VALUE},
    },
    primitives::{AddressSet, hardfork::SpecId},
};
use std::time::Instant;

/// So many bytes of a precompile's address are zero.
const LOW: usize = 16;

/// How many multiplications an execution makes alone after one for which nobody had time.
const UNHELPED: u32 = 5;

/// Who helps an EVM, and how; by default nobody, and all precompiles are revm's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assistance {
    pub(crate) helpers: Option<Helpers>,
    /// The caller asks whether what was taken for granted was so.
    pub(crate) beside: bool,
    /// Points are multiplied with the curve's endomorphism.
    pub(crate) endomorphism: bool,
    /// Hashes of two words are remembered.
    pub(crate) hashes: bool,
}

/// A call of a precompile that other threads can take part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shareable {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    /// The parts that can be dealt; one: all of it can be done beside the rest of the execution.
    pub(crate) parts: usize,
    /// What the caller does alone when the parts are done, thousandths.
    pub(crate) last: u32,
    /// Only threads that have nothing to do take part.
    pub(crate) short: bool,
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
        // There is one.
        numbers.for_each(drop);
        let output = precompile.execute(input, *gas_limit, *reservoir);
        output.is_ok_and(|output| output == *expected)
    }

    fn merge(&self, one: bool, other: bool) -> bool {
        one && other
    }
}

/// The precompiles of one EVM.
pub(crate) struct Assisted {
    eth: EthPrecompiles,
    assistance: Assistance,
    /// How many of the next multiplications nobody is asked to take part in.
    alone: u32,
    /// What the execution has taken for granted.
    granted: Vec<Offered<Call>>,
    /// The calls of the execution that threads can take part in.
    pub(super) calls: Vec<Shareable>,
}

impl Assisted {
    /// With the default assistance all precompiles are revm's.
    pub(crate) fn new(spec: SpecId, assistance: Assistance) -> Self {
        let (granted, calls) = Default::default();
        Self { eth: EthPrecompiles::new(spec), assistance, alone: 1, granted, calls }
    }

    /// A new execution begins.
    pub(crate) fn begin(&mut self) {
        self.alone = 1;
        self.granted.clear();
        self.calls.clear();
    }

    /// Whether everything was so that the execution has taken for granted; if not, none of it may
    /// be used. Waits for what is not known yet.
    #[inline]
    pub(crate) fn held(&mut self) -> bool {
        self.granted.is_empty() || self.all_held()
    }

    #[cold]
    fn all_held(&mut self) -> bool {
        let so = |call: Offered<Call>| call.finish().unwrap_or(false);
        let held = self.granted.drain(..).all(so);
        self.assistance.beside &= held;
        held
    }

    /// What a call of parts comes to; `None` where the call is revm's own.
    fn shared<CTX>(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
        input: &Bytes,
    ) -> Result<Option<InterpreterResult>, String>
    where
        CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>,
    {
        let Assistance { helpers, endomorphism, .. } = &self.assistance;
        let multiplies = inputs.bytecode_address == bn254::mul::ADDRESS;
        let mut helpers = helpers.as_ref();
        if multiplies && self.alone > 0 {
            self.alone -= 1;
            if let Some(helpers) = helpers.take()
                && self.alone == 0
            {
                helpers.rouse(1);
            }
        }
        let alone = multiplies && *endomorphism;
        if helpers.is_none() && !alone {
            return Ok(None);
        }
        let infinity = CallInput::Bytes(vec![0; input.len()].into());
        let easy = CallInputs { input: infinity, ..inputs.clone() };
        let Some(mut result) = self.eth.run(context, &easy)? else { return Ok(None) };
        if result.result != InstructionResult::Return {
            return Ok(None);
        }
        let output = if multiplies {
            let shared = helpers.and_then(|helpers| helpers.share_short(Halves::of(input)?));
            let product = match shared {
                Some((product, participants)) => {
                    self.alone = if participants > 1 { 0 } else { UNHELPED };
                    Some(product)
                }
                None if alone => multiplication::product(input),
                None => None,
            };
            product.map(|product| multiplication::encoded(&product).into())
        } else {
            let product = helpers.and_then(|helpers| helpers.share(Pairs(input.clone()))).flatten();
            pairing::is_one(product).map(|one| B256::from(U256::from(one)).into())
        };
        Ok(output.map(|output| {
            result.output = output;
            result
        }))
    }

    /// What a point evaluation in a transaction with this gas limit is taken to come to; `None`
    /// where it is not.
    fn beside(
        &mut self,
        transaction_gas: u64,
        inputs: &CallInputs,
        input: &Bytes,
    ) -> Option<InterpreterResult> {
        let Assistance { helpers, beside, .. } = &self.assistance;
        let helpers = helpers.as_ref().filter(|_| *beside)?;
        let precompile: &'static Precompile = self.eth.precompiles.get(&inputs.bytecode_address)?;
        let CallInputs { gas_limit, reservoir, .. } = *inputs;
        if gas_limit < GAS_COST.max(transaction_gas / 2) {
            return None;
        }
        let expected = PrecompileOutput::new(GAS_COST, RETURN_VALUE.into(), reservoir);
        let output = expected.clone();
        let input = input.clone();
        let call = Call { precompile, input, gas_limit, reservoir, expected };
        self.granted.push(helpers.offer(call));
        Some(precompile_output_to_interpreter_result(output, gas_limit))
    }
}

/// Whether a precompile can have this address: all of theirs are low numbers.
fn is_low(address: &Address) -> bool {
    let (high, _) = address.split_at(LOW);
    high == [0; LOW]
}

/// In how many parts threads can take part in a call with so many bytes of input, and what the
/// caller then does alone, thousandths of what it takes without them.
fn parts(address: Address, len: usize, endomorphism: bool) -> (usize, u32) {
    match address {
        bn254::pair::ADDRESS if len >= 2 * PAIR => {
            // A check's gas was set by its time: 45,000, and 34,000 for each pair (EIP-1108).
            let pairs = len / PAIR;
            (pairs, (45_000 / (45 + 34 * pairs)) as u32)
        }
        // Half of the time is saved where the caller goes bit by bit otherwise, less what brings
        // the sum into the form of the outside; a quarter where it goes through both halves at
        // once.
        bn254::mul::ADDRESS if len > 0 => (2, if endomorphism { 500 } else { 80 }),
        kzg::ADDRESS => (1, 0),
        _ => (0, 0),
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

    /// Every call of an account comes here first.
    #[inline]
    fn run(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        if is_low(&inputs.bytecode_address) { self.call(context, inputs) } else { Ok(None) }
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.eth.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.eth.contains(address)
    }
}

impl Assisted {
    /// A call of what may be a precompile.
    #[inline(never)]
    fn call<CTX>(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String>
    where
        CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>,
    {
        let endomorphism = self.assistance.endomorphism;
        let (parts, last) = parts(inputs.bytecode_address, inputs.input.len(), endomorphism);
        if parts == 0 || !self.eth.contains(&inputs.bytecode_address) {
            return self.eth.run(context, inputs);
        }
        let start = Instant::now();
        let input = inputs.input.bytes(context);
        let result = match parts {
            1 => self.beside(context.tx().gas_limit(), inputs, &input),
            _ => self.shared(context, inputs, &input)?,
        };
        let result = match result {
            None => self.eth.run(context, inputs)?,
            result => result,
        };
        let short = inputs.bytecode_address == bn254::mul::ADDRESS;
        self.calls.push(Shareable { start, end: Instant::now(), parts, last, short });
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_precompiles_have_low_addresses() {
        for spec in (0..=u8::MAX).filter_map(|spec| SpecId::try_from(spec).ok()) {
            let eth = EthPrecompiles::new(spec);
            assert!(eth.warm_addresses().len() > 3);
            assert!(eth.warm_addresses().iter().all(is_low), "{spec:?}");
        }
        assert!(!is_low(&Address::with_last_byte(1).create(0)));
    }
}
