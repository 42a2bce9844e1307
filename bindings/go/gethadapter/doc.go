// Package gethadapter lets go-ethereum v1.17.5 execute the blocks that it imports with braid.
//
// [Install] puts a [Processor] in the place of the processor of a core.BlockChain, without a fork
// of geth. The processor reads the parent state through the reader of geth's StateDB, executes with
// braid, writes the net changes into the StateDB, and gives geth's own types back. What geth checks
// of a block it still checks: gas, bloom, receipts root, requests hash and state root.
//
// Actors: the [Processor], geth's own core.StateProcessor beside it, and one braid.Executor for
// both import and any other caller of BlockChain.Processor; their blocks take turns.
//
// Invariants:
//   - Nothing is written to a StateDB before braid has succeeded and every write is known to be
//     possible, so that geth's processor can always begin on what is left.
//   - The StateDB itself is never read while braid's threads run, only its reader, which is safe
//     for concurrent use.
//   - Only braid's verdict that a block is invalid makes the processor fail. Any other failure of
//     braid ends in geth's processor, counted with its reason.
//
// The StateDB must be fresh: writes that are pending in it are not seen by its reader. BlockChain
// and the regeneration of states in package eth give fresh ones.
//
// This module is pinned to one version of geth, because the signature of core.Processor changes
// from release to release; [Processor.Process] is the only place that depends on it. geth's own
// setter, SetBlockValidatorAndProcessorForTesting, must be called before the import begins, and so
// must Install. With mode [On], BlockChainConfig.NoPrefetch saves the processor time that geth's
// speculative prefetcher would spend on executing the same transactions.
package gethadapter
