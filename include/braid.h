/* braid: executes Ethereum blocks in parallel, byte for byte equal to sequential execution.

   Generated from `ffi/` by `cargo xtask header`; do not edit.

   Rules that hold for every function:
   - A status of 0 is success; see the ranges at BRAID_NULL_ARGUMENT and below. Only 300 to 399 says
     that a block is invalid.
   - An out-parameter is written only on success. `error` may be NULL; otherwise it is written
     always: NULL on success, else an error that the caller frees with `braid_error_free`.
   - A struct with `struct_size` is zeroed and its size set by the caller: later versions append
     fields. In a struct from the library the field tells which fields exist.
   - A `const` handle may be used by several threads at once.
   - The library writes no output, installs no signal handlers and reads no files.

   Rust's `# Safety` sections are the caller's obligations. */


#ifndef BRAID_H
#define BRAID_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of the ABI that this header describes: the major number in the upper 16 bits. A
 * library fits where its major number is the same and its minor number is not smaller.
 */
#define BRAID_ABI_VERSION 4

/**
 * A step: system calls before the transactions.
 */
#define BRAID_STEP_PRE_BLOCK 0

/**
 * A step: a transaction, with what its beneficiary got.
 */
#define BRAID_STEP_TRANSACTION 1

/**
 * A step: requests, withdrawals, rewards, the DAO fork.
 */
#define BRAID_STEP_POST_BLOCK 2

/**
 * Also encode the receipts as the RLP list that peers exchange.
 */
#define BRAID_WANT_RECEIPTS_RLP 1

/**
 * Compare the outcome with the header: gas used, receipts root, logs bloom, blob gas, requests
 * hash, block access list hash; not the state root, nor the receipts root before Byzantium.
 */
#define BRAID_CHECK_HEADER 2

/**
 * Speculate on every block, however small. For tests.
 */
#define BRAID_EXECUTOR_FORCED 1

/**
 * A key's kind: an account.
 */
#define BRAID_KEY_ACCOUNT 0

/**
 * A key's kind: a storage slot.
 */
#define BRAID_KEY_SLOT 1

/**
 * What a batched answer is preset to: a key that is left so is asked for singly.
 */
#define BRAID_UNANSWERED 2

/**
 * A part of an account's entry: the entry as such, the account was loaded.
 */
#define BRAID_ACCESS_ACCOUNT 0

/**
 * A part of an account's entry: the value of a slot after a transaction.
 */
#define BRAID_ACCESS_STORAGE 1

/**
 * A part of an account's entry: a slot that was read and not changed.
 */
#define BRAID_ACCESS_STORAGE_READ 2

/**
 * A part of an account's entry: the balance after a transaction.
 */
#define BRAID_ACCESS_BALANCE 3

/**
 * A part of an account's entry: the nonce after a transaction.
 */
#define BRAID_ACCESS_NONCE 4

/**
 * A part of an account's entry: the code after a transaction.
 */
#define BRAID_ACCESS_CODE 5

/**
 * No part: both lists say the same, but in another order or grouping.
 */
#define BRAID_ACCESS_ORDER 6

/**
 * What a list says somewhere: nothing.
 */
#define BRAID_VALUE_NOTHING 0

/**
 * What a list says somewhere: that it was accessed, no more.
 */
#define BRAID_VALUE_ACCESSED 1

/**
 * What a list says somewhere: a slot's value, or a balance in wei.
 */
#define BRAID_VALUE_WORD 2

/**
 * What a list says somewhere: a nonce.
 */
#define BRAID_VALUE_NONCE 3

/**
 * What a list says somewhere: a code.
 */
#define BRAID_VALUE_CODE 4

/**
 * An answer to a block of a range: enough, the range ends with `BRAID_OK`. Since ABI 0.3.
 */
#define BRAID_RANGE_STOP 1

/**
 * A callback's answer: the value was written.
 */
#define BRAID_FOUND 0

/**
 * A callback's answer: there is none. The account does not exist, the slot is zero; a code or
 * block hash that is absent is a failed read. Any other answer is a failed read too, and comes
 * back as the error's `host_code`.
 */
#define BRAID_ABSENT 1

/**
 * The callbacks must not run at the same time: the library calls one at a time.
 */
#define BRAID_READER_SERIAL 1

/**
 * A read takes much longer than the step of a transaction that asks for it, as from a disk or over
 * a network (from some 30 microseconds on): the library keeps as many reads under way as the
 * executor has threads, which should be several times as many as there are cores. Not together
 * with `BRAID_READER_SERIAL`. Since ABI 0.4.
 */
#define BRAID_READER_SLOW 2

/**
 * The block's fork has requests (EIP-7685), though there may be none in the block.
 */
#define BRAID_HAS_REQUESTS 1

/**
 * `access_list_rlp` is the block access list (EIP-7928): on a fork that has one, and where it was
 * asked for.
 */
#define BRAID_HAS_ACCESS_LIST 2

/**
 * Receipts have a status (EIP-658), so that `receipts_root` is that of the header. Before
 * Byzantium it is not.
 */
#define BRAID_HAS_RECEIPTS_ROOT 4

/**
 * The account did not exist before the block and does after it.
 */
#define BRAID_ACCOUNT_CREATED 1

/**
 * The account existed before the block and does not after it.
 */
#define BRAID_ACCOUNT_DESTROYED 2

/**
 * All storage from before the block is gone; what `slots` does not list is zero.
 */
#define BRAID_ACCOUNT_WIPED 4

/**
 * Success.
 */
#define BRAID_OK 0

/**
 * 100 to 199, the caller's mistake: a pointer that must not be NULL is NULL.
 */
#define BRAID_NULL_ARGUMENT 101

/**
 * A `struct_size` that this version of the library does not know.
 */
#define BRAID_STRUCT_SIZE 102

/**
 * An argument out of its range, or two that contradict each other.
 */
#define BRAID_INVALID_ARGUMENT 103

/**
 * A function that a reader's callback must not call.
 */
#define BRAID_REENTRANT 104

/**
 * A call out of order: storage before its account, a second code for one request.
 */
#define BRAID_WRONG_STATE 105

/**
 * A block of a range that does not follow the one before it, by number or by hash. Since ABI 0.3.
 */
#define BRAID_BROKEN_RANGE 106

/**
 * 200 to 299, undecodable input: the block's RLP.
 */
#define BRAID_BAD_BLOCK_RLP 201

/**
 * The bytes of one transaction.
 */
#define BRAID_BAD_TRANSACTION 202

/**
 * The block access list's RLP.
 */
#define BRAID_BAD_ACCESS_LIST 203

/**
 * Text that is no JSON.
 */
#define BRAID_BAD_JSON 204

/**
 * A chain name that is not known.
 */
#define BRAID_UNKNOWN_CHAIN 205

/**
 * A chain config with a missing or malformed value.
 */
#define BRAID_BAD_CHAIN_CONFIG 206

/**
 * A chain config with a fork or setting that this library does not know.
 */
#define BRAID_UNKNOWN_FORK 207

/**
 * 300 to 399, the block is invalid: any reason without a code of its own.
 */
#define BRAID_INVALID_BLOCK 300

/**
 * A transaction is invalid: nonce, balance, gas, fee, type, initcode.
 */
#define BRAID_INVALID_TRANSACTION 301

/**
 * A transaction's signature recovers to no sender.
 */
#define BRAID_INVALID_SIGNATURE 302

/**
 * A system call before or after the transactions failed.
 */
#define BRAID_INVALID_SYSTEM_CALL 303

/**
 * More gas than the block has.
 */
#define BRAID_INVALID_GAS 304

/**
 * The header contradicts the execution. Only with `BRAID_CHECK_HEADER`, and from `braid_import`.
 */
#define BRAID_HEADER_MISMATCH 305

/**
 * The header contradicts the body: transactions, ommers or withdrawals. Only from `braid_import`.
 * Since ABI 0.3.
 */
#define BRAID_BODY_MISMATCH 306

/**
 * 400 to 499, the host failed: the parent state could not be read.
 */
#define BRAID_STATE_UNREADABLE 401

/**
 * The cancel token was triggered.
 */
#define BRAID_CANCELLED 402

/**
 * The timeout passed.
 */
#define BRAID_TIMED_OUT 403

/**
 * The commit callback refused a step. Since ABI 0.2.
 */
#define BRAID_COMMIT_REFUSED 404

/**
 * The range callback refused a block. Since ABI 0.3.
 */
#define BRAID_BLOCK_REFUSED 405

/**
 * 500 to 599, the library failed: a panic was caught.
 */
#define BRAID_PANIC 501

/**
 * The EVM reported a failure that is no verdict.
 */
#define BRAID_INTERNAL 502

/**
 * Abandons executions from another thread. Free it with `braid_cancel_free`.
 */
typedef struct braid_cancel braid_cancel;

/**
 * The rules of a chain. Never changes. Free it with `braid_chain_free`.
 */
typedef struct braid_chain braid_chain;

/**
 * Takes the code that a callback was asked for. Valid during that callback only.
 */
typedef struct braid_code_sink braid_code_sink;

/**
 * An error with its details. Free it with `braid_error_free`.
 */
typedef struct braid_error braid_error;

/**
 * An engine with its threads, and the codes that its readers gave. Free it with
 * `braid_executor_free`.
 */
typedef struct braid_executor braid_executor;

/**
 * A parent state in memory. An account or slot that is not in it does not exist, or is zero; a
 * code or block hash that is not in it is a failed read. Free it with `braid_prestate_free`.
 */
typedef struct braid_prestate braid_prestate;

/**
 * The result of a valid block. Free it with `braid_result_free`.
 */
typedef struct braid_result braid_result;

/**
 * What an error says.
 */
typedef struct braid_error_view {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * The status that the failed function returned.
     */
    int32_t status;
    /**
     * The index of the transaction that failed, or -1.
     */
    int64_t transaction;
    /**
     * What the failing callback returned, or 0.
     */
    int32_t host_code;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * UTF-8, NUL-terminated, never NULL.
     */
    const char *message;
    /**
     * The message's length without the terminating NUL.
     */
    uint64_t message_len;
} braid_error_view;

/**
 * Borrowed bytes. `ptr` may be NULL where `len` is 0, and is where the library gives them.
 */
typedef struct braid_bytes {
    /**
     * The first byte.
     */
    const uint8_t *ptr;
    /**
     * How many bytes there are.
     */
    uint64_t len;
} braid_bytes;

/**
 * The address of an account.
 */
typedef struct braid_address {
    /**
     * The 20 bytes.
     */
    uint8_t bytes[20];
} braid_address;

/**
 * A block to execute. All bytes are borrowed.
 *
 * Either `rlp` is the whole block as peers exchange it, or `header_rlp` and the fields after it
 * are its parts.
 */
typedef struct braid_block {
    /**
     * The size of this struct.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The whole block; NULL where it is given in parts.
     */
    struct braid_bytes rlp;
    /**
     * The header.
     */
    struct braid_bytes header_rlp;
    /**
     * The transactions, each as in EIP-2718: type and payload, or a legacy transaction's RLP;
     * without blob sidecar.
     */
    const struct braid_bytes *transactions;
    /**
     * How many transactions there are.
     */
    uint64_t transactions_count;
    /**
     * The list of ommer headers; NULL where there are none.
     */
    struct braid_bytes ommers_rlp;
    /**
     * The list of withdrawals; NULL before Shanghai.
     */
    struct braid_bytes withdrawals_rlp;
    /**
     * The senders, one per transaction, for either form. The caller has verified them. NULL: the
     * library recovers them, in parallel.
     */
    const struct braid_address *senders;
    /**
     * How many senders there are.
     */
    uint64_t senders_count;
    /**
     * The block access list (EIP-7928), for either form; NULL where there is none. A hint, but for
     * `braid_execute_with_access_list`, which compares it.
     */
    struct braid_bytes access_list_rlp;
} braid_block;

/**
 * A 256-bit number: a balance, a storage slot's key or value.
 */
typedef struct braid_u256 {
    /**
     * Big-endian.
     */
    uint8_t bytes[32];
} braid_u256;

/**
 * A Keccak-256 hash.
 */
typedef struct braid_hash {
    /**
     * The 32 bytes.
     */
    uint8_t bytes[32];
} braid_hash;

/**
 * An account without its storage.
 */
typedef struct braid_account {
    /**
     * The nonce.
     */
    uint64_t nonce;
    /**
     * The balance in wei.
     */
    struct braid_u256 balance;
    /**
     * The Keccak-256 of the code. All zeros is read as the hash of the empty code, and never
     * written.
     */
    struct braid_hash code_hash;
} braid_account;

/**
 * Reads an account. May block. Must not execute a block, throw, or leave by a long jump.
 */
typedef int32_t (*braid_account_fn)(void *user,
                                    const struct braid_address *address,
                                    struct braid_account *account);

/**
 * Reads a storage slot of an account that exists. As for `braid_account_fn`.
 */
typedef int32_t (*braid_storage_fn)(void *user,
                                    const struct braid_address *address,
                                    const struct braid_u256 *key,
                                    struct braid_u256 *value);

/**
 * Reads the code with this hash and gives it to `braid_code_put`; a code with another hash is a
 * failed read. An executor keeps codes, and does not ask again soon. As for `braid_account_fn`.
 */
typedef int32_t (*braid_code_fn)(void *user,
                                 const struct braid_hash *hash,
                                 struct braid_code_sink *sink);

/**
 * Reads the hash of an ancestor, at most 256 blocks back. As for `braid_account_fn`.
 */
typedef int32_t (*braid_block_hash_fn)(void *user, uint64_t number, struct braid_hash *hash);

/**
 * Something to read: an account or a storage slot.
 */
typedef struct braid_key {
    /**
     * The account.
     */
    struct braid_address address;
    /**
     * `BRAID_KEY_ACCOUNT` or `BRAID_KEY_SLOT`.
     */
    uint32_t kind;
    /**
     * The slot's number; zero for an account.
     */
    struct braid_u256 slot;
} braid_key;

/**
 * Tells which accounts and slots the block, or a range of blocks, names: senders, recipients,
 * access lists, beneficiaries, withdrawals. A hint: the host may start to fetch them, and should
 * return at once. Called at most once per execution, before any other callback. Any answer but
 * `BRAID_OK` is a failed read and ends the execution. As for `braid_account_fn`.
 *
 * Ownership: `keys` (sorted, without repetition) is borrowed during the callback.
 */
typedef int32_t (*braid_prefetch_fn)(void *user, const struct braid_key *keys, uint64_t keys_count);

/**
 * The answer to one key of a batch.
 */
typedef struct braid_answer {
    /**
     * `BRAID_FOUND`, `BRAID_ABSENT`, or what it is preset to, `BRAID_UNANSWERED`. Any other number
     * is read as the last one.
     */
    int32_t status;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The account, where the key is one.
     */
    struct braid_account account;
    /**
     * The slot's value, where the key is a slot.
     */
    struct braid_u256 value;
} braid_answer;

/**
 * Reads the same keys in one go, for hosts whose storage is faster so; after `prefetch`, before
 * the single reads, at most once per execution. `answers[i]` belongs to `keys[i]`; the account of
 * a slot need not exist. Any answer but `BRAID_OK` is a failed read and ends the execution. As
 * for `braid_account_fn`.
 *
 * Ownership: `keys` and `answers` are borrowed during the callback.
 */
typedef int32_t (*braid_read_many_fn)(void *user,
                                      const struct braid_key *keys,
                                      uint64_t keys_count,
                                      struct braid_answer *answers);

/**
 * How the library reads the parent state. The four single reads are needed, the rest may be NULL.
 * Any of the executor's threads calls them, several at once unless `BRAID_READER_SERIAL` is set,
 * only during the call that was given the reader.
 */
typedef struct braid_reader {
    /**
     * The size of this struct.
     */
    uint32_t struct_size;
    /**
     * `BRAID_READER_` flags.
     */
    uint32_t flags;
    /**
     * Passed to every callback.
     */
    void *user;
    /**
     * Reads an account.
     */
    braid_account_fn account;
    /**
     * Reads a storage slot.
     */
    braid_storage_fn storage;
    /**
     * Reads a code.
     */
    braid_code_fn code;
    /**
     * Reads the hash of an ancestor.
     */
    braid_block_hash_fn block_hash;
    /**
     * NULL, or is told what the block names. Since ABI 0.2.
     */
    braid_prefetch_fn prefetch;
    /**
     * NULL, or reads what the block names in one go. Since ABI 0.2.
     */
    braid_read_many_fn read_many;
} braid_reader;

/**
 * A bloom filter over logs.
 */
typedef struct braid_bloom {
    /**
     * The 256 bytes, as in a header.
     */
    uint8_t bytes[256];
} braid_bloom;

/**
 * A log.
 */
typedef struct braid_log {
    /**
     * The contract that logged.
     */
    struct braid_address address;
    /**
     * How many topics there are, at most 4.
     */
    uint32_t topics_count;
    /**
     * The topics.
     */
    const struct braid_hash *topics;
    /**
     * The data.
     */
    struct braid_bytes data;
} braid_log;

/**
 * The receipt of one transaction.
 */
typedef struct braid_receipt {
    /**
     * The transaction's type (EIP-2718).
     */
    uint8_t transaction_type;
    /**
     * 1 where the transaction succeeded, 0 where it reverted.
     */
    uint8_t success;
    /**
     * Always 0.
     */
    uint8_t reserved[6];
    /**
     * Gas used by the block up to and with this transaction.
     */
    uint64_t cumulative_gas_used;
    /**
     * Gas used by this transaction.
     */
    uint64_t gas_used;
    /**
     * The bloom of its logs.
     */
    struct braid_bloom logs_bloom;
    /**
     * Its logs.
     */
    const struct braid_log *logs;
    /**
     * How many logs it has.
     */
    uint64_t logs_count;
} braid_receipt;

/**
 * A storage slot with its value.
 */
typedef struct braid_slot {
    /**
     * The slot's number.
     */
    struct braid_u256 key;
    /**
     * Its value; zero where it was never set.
     */
    struct braid_u256 value;
} braid_slot;

/**
 * What a step left of an account.
 */
typedef struct braid_committed_account {
    /**
     * The account.
     */
    struct braid_address address;
    /**
     * `BRAID_ACCOUNT_DESTROYED`: the account and all of its storage are gone, though a later step
     * may make it again. Else 0.
     */
    uint32_t flags;
    /**
     * The account after the step; all zeros where it is gone.
     */
    struct braid_account after;
    /**
     * The slots that the step changed with their values after it, sorted by key.
     */
    const struct braid_slot *slots;
    /**
     * How many slots changed.
     */
    uint64_t slots_count;
} braid_committed_account;

/**
 * A code with its Keccak-256.
 */
typedef struct braid_code {
    /**
     * The hash.
     */
    struct braid_hash hash;
    /**
     * The code.
     */
    struct braid_bytes bytes;
} braid_code;

/**
 * A committed step of a block: it can no longer change. An array without elements, here and in
 * what the arrays hold, is NULL.
 */
typedef struct braid_commit {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * `BRAID_STEP_`. Steps before and after the transactions may come several times, or not at
     * all.
     */
    uint32_t step;
    /**
     * The transaction's index; 0 for the other steps.
     */
    uint64_t transaction;
    /**
     * The transaction's receipt; NULL for the other steps.
     */
    const struct braid_receipt *receipt;
    /**
     * The accounts that the step changed, sorted by address.
     */
    const struct braid_committed_account *accounts;
    /**
     * How many accounts changed.
     */
    uint64_t accounts_count;
    /**
     * The codes that those accounts newly have, sorted by hash.
     */
    const struct braid_code *codes;
    /**
     * How many new codes there are.
     */
    uint64_t codes_count;
} braid_commit;

/**
 * Takes a committed step. The steps come in block order, one at a time, on any of the executor's
 * threads, while later transactions may still run: a slow callback delays the block. Those of a
 * block that turns out to be invalid, or is abandoned, are to be thrown away.
 *
 * Any answer but `BRAID_OK` abandons the block: the execution returns `BRAID_COMMIT_REFUSED` with
 * the answer as `host_code`. Must not execute a block, throw, or leave by a long jump.
 *
 * Ownership: `commit` and all that it points to is borrowed during the callback.
 */
typedef int32_t (*braid_commit_fn)(void *user, const struct braid_commit *commit);

/**
 * What to execute. Everything is borrowed during the call.
 */
typedef struct braid_request {
    /**
     * The size of this struct.
     */
    uint32_t struct_size;
    /**
     * `BRAID_WANT_` and `BRAID_CHECK_` flags.
     */
    uint32_t flags;
    /**
     * The chain's rules.
     */
    const struct braid_chain *chain;
    /**
     * The block.
     */
    const struct braid_block *block;
    /**
     * The parent state, to be read through callbacks; NULL where `prestate` is given.
     */
    const struct braid_reader *reader;
    /**
     * The parent state, in memory; NULL where `reader` is given.
     */
    const struct braid_prestate *prestate;
    /**
     * NULL, or the token that abandons the execution.
     */
    const struct braid_cancel *cancel;
    /**
     * After how many nanoseconds from the call the execution is abandoned; 0: never. Looked at
     * between transactions, as the token is.
     */
    uint64_t timeout_ns;
    /**
     * NULL, or takes each committed step while later transactions still run; NULL for the
     * functions that produce an access list. Since ABI 0.2.
     */
    braid_commit_fn commit;
    /**
     * Passed to `commit`.
     */
    void *commit_user;
} braid_request;

/**
 * How an executor works. Nothing here changes a result.
 */
typedef struct braid_executor_options {
    /**
     * The size of this struct.
     */
    uint32_t struct_size;
    /**
     * How many threads execute a block, the calling one included; 0: one per core. At most 1024.
     */
    uint32_t threads;
    /**
     * `BRAID_EXECUTOR_` flags.
     */
    uint32_t flags;
    /**
     * 0.
     */
    uint32_t reserved;
} braid_executor_options;

/**
 * What an import gives beside the result.
 */
typedef struct braid_import_view {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * The hash of the block.
     */
    struct braid_hash block_hash;
    /**
     * The senders, one per transaction; NULL where there are none.
     */
    const struct braid_address *senders;
    /**
     * How many senders there are.
     */
    uint64_t senders_count;
} braid_import_view;

/**
 * What a list says somewhere.
 */
typedef struct braid_access_value {
    /**
     * `BRAID_VALUE_`.
     */
    uint32_t kind;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * The word or the nonce; else zero.
     */
    struct braid_u256 number;
    /**
     * The code; NULL where there is none, or an empty one.
     */
    struct braid_bytes code;
} braid_access_value;

/**
 * How a claimed access list relates to the one that the execution produced.
 */
typedef struct braid_access_list_check {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * `BRAID_ACCESS_`: the part of the account's entry where the first difference is.
     */
    uint32_t part;
    /**
     * How many entries differ, are missing or are superfluous. 0: the lists are equal, and the
     * fields about the first difference say nothing.
     */
    uint64_t mismatches;
    /**
     * The block access index of the first difference, by address, then part, then index: 0 for the
     * system calls before the transactions, `i + 1` for the transaction with index `i`, one more
     * than the last of them for the block's end; -1 for what a list says of the block as a whole:
     * accounts, reads, order.
     */
    int64_t index;
    /**
     * The account.
     */
    struct braid_address address;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * The slot, where the part is one; else zero.
     */
    struct braid_u256 slot;
    /**
     * What the claimed list says there.
     */
    struct braid_access_value claimed;
    /**
     * What the execution gave there.
     */
    struct braid_access_value produced;
    /**
     * The first difference in words: UTF-8, NUL-terminated, never NULL, empty without one.
     */
    const char *message;
    /**
     * The message's length without the terminating NUL.
     */
    uint64_t message_len;
} braid_access_list_check;

/**
 * Takes the result of the block with this index in the range. The blocks come in order, on the
 * thread that called `braid_execute_range`, while later blocks are executed already. Since ABI
 * 0.3.
 *
 * `BRAID_OK` goes on, `BRAID_RANGE_STOP` ends the range. Any other answer ends it too, and
 * `braid_execute_range` returns `BRAID_BLOCK_REFUSED` with the answer as `host_code`. Must not
 * execute a block, wait for one on the same executor, throw, or leave by a long jump.
 *
 * Ownership: the host frees `result` with `braid_result_free`, whatever it answers, now or later,
 * on any thread.
 */
typedef int32_t (*braid_range_fn)(void *user, uint64_t index, struct braid_result *result);

/**
 * Consecutive blocks to execute. Everything is borrowed during the call. Since ABI 0.3.
 */
typedef struct braid_range_request {
    /**
     * The size of this struct.
     */
    uint32_t struct_size;
    /**
     * `BRAID_WANT_` and `BRAID_CHECK_` flags, for every block.
     */
    uint32_t flags;
    /**
     * The chain's rules.
     */
    const struct braid_chain *chain;
    /**
     * The blocks, each one the parent of the next.
     */
    const struct braid_block *const *blocks;
    /**
     * How many blocks there are.
     */
    uint64_t blocks_count;
    /**
     * The state before the first block, to be read through callbacks; NULL where `prestate` is
     * given. Its hints, `prefetch` and `read_many`, are about all the blocks.
     */
    const struct braid_reader *reader;
    /**
     * The state before the first block, in memory; NULL where `reader` is given.
     */
    const struct braid_prestate *prestate;
    /**
     * NULL, or the token that abandons the range.
     */
    const struct braid_cancel *cancel;
    /**
     * After how many nanoseconds from the call the range is abandoned; 0: never. Looked at between
     * transactions, as the token is.
     */
    uint64_t timeout_ns;
    /**
     * Takes the results.
     */
    braid_range_fn each;
    /**
     * Passed to `each`.
     */
    void *each_user;
} braid_range_request;

/**
 * The net effect of a block on one account.
 */
typedef struct braid_account_change {
    /**
     * The account.
     */
    struct braid_address address;
    /**
     * `BRAID_ACCOUNT_` flags.
     */
    uint32_t flags;
    /**
     * Before the block; all zeros where the account did not exist.
     */
    struct braid_account before;
    /**
     * After the block; all zeros where the account does not exist.
     */
    struct braid_account after;
    /**
     * The changed slots with their values after the block, sorted by key; with
     * `BRAID_ACCOUNT_WIPED` every slot that is not zero.
     */
    const struct braid_slot *slots;
    /**
     * How many slots changed.
     */
    uint64_t slots_count;
} braid_account_change;

/**
 * Counters and times of one execution. None of them influences a result.
 */
typedef struct braid_statistics {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * Threads that took part, the calling one included.
     */
    uint32_t workers;
    /**
     * How many times a transaction was executed, repeated executions included.
     */
    uint64_t executions;
    /**
     * Speculative executions that were repeated in order.
     */
    uint64_t reexecutions;
    /**
     * Transactions executed in order at once, without speculation.
     */
    uint64_t direct;
    /**
     * Speculative executions that failed and were thrown away.
     */
    uint64_t discarded;
    /**
     * 1 where the executor stopped speculating on this block.
     */
    uint64_t fell_back;
    /**
     * Nanoseconds to decode the block and to recover its senders.
     */
    uint64_t decode_ns;
    /**
     * Nanoseconds to execute it, waiting for the executor included.
     */
    uint64_t execute_ns;
    /**
     * Nanoseconds to make this result, `roots_ns` included.
     */
    uint64_t result_ns;
    /**
     * Nanoseconds to compute the blooms and the receipts root.
     */
    uint64_t roots_ns;
    /**
     * Single reads that the reader was asked for. Since ABI 0.2.
     */
    uint64_t reads;
    /**
     * Reads that needed no callback because `read_many` had answered them. Since ABI 0.2.
     */
    uint64_t batched_reads;
} braid_statistics;

/**
 * Everything that a block yields. Arrays follow the block's order or are sorted: the same block
 * gives the same bytes, whatever the threads. An array without elements, here and in what the
 * arrays hold, is NULL.
 */
typedef struct braid_result_view {
    /**
     * The size of this struct in the library. A field beyond it does not exist.
     */
    uint32_t struct_size;
    /**
     * `BRAID_HAS_` flags.
     */
    uint32_t flags;
    /**
     * Gas used by the block.
     */
    uint64_t gas_used;
    /**
     * Blob gas used by the block (EIP-4844).
     */
    uint64_t blob_gas_used;
    /**
     * The root of the receipts.
     */
    struct braid_hash receipts_root;
    /**
     * The hash of the requests (EIP-7685).
     */
    struct braid_hash requests_hash;
    /**
     * The union of the receipts' blooms.
     */
    struct braid_bloom logs_bloom;
    /**
     * The requests (EIP-7685), each with its type byte in front; none is empty.
     */
    const struct braid_bytes *requests;
    /**
     * How many requests there are.
     */
    uint64_t requests_count;
    /**
     * One receipt per transaction.
     */
    const struct braid_receipt *receipts;
    /**
     * How many receipts there are.
     */
    uint64_t receipts_count;
    /**
     * The logs of all receipts, one receipt after the other.
     */
    const struct braid_log *logs;
    /**
     * How many logs there are.
     */
    uint64_t logs_count;
    /**
     * The accounts that the block changed, sorted by address.
     */
    const struct braid_account_change *accounts;
    /**
     * How many changed accounts there are.
     */
    uint64_t accounts_count;
    /**
     * The changed slots of all accounts, one account after the other.
     */
    const struct braid_slot *slots;
    /**
     * How many changed slots there are.
     */
    uint64_t slots_count;
    /**
     * The codes that changed accounts newly have, sorted by hash.
     */
    const struct braid_code *codes;
    /**
     * How many new codes there are.
     */
    uint64_t codes_count;
    /**
     * The receipts as peers exchange them; empty unless `BRAID_WANT_RECEIPTS_RLP` asked for it.
     */
    struct braid_bytes receipts_rlp;
    /**
     * The block access list (EIP-7928); empty without `BRAID_HAS_ACCESS_LIST`.
     */
    struct braid_bytes access_list_rlp;
    /**
     * What the executor did. Never NULL.
     */
    const struct braid_statistics *statistics;
} braid_result_view;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the ABI that the library has; compare it with `BRAID_ABI_VERSION` at start.
 *
 * Safe from any thread; never blocks or calls back.
 */
uint32_t braid_abi_version(void);

/**
 * The library's own version, for people.
 *
 * Ownership: a static string, NUL-terminated. Safe from any thread; never blocks or calls back.
 */
const char *braid_version(void);

/**
 * Makes a token.
 *
 * Ownership: the caller frees `*out`. Safe from any thread; never blocks or calls back.
 *
 * # Safety
 * `out` may be written; `error` is NULL or may be written.
 */
int32_t braid_cancel_new(struct braid_cancel **out, struct braid_error **error);

/**
 * Abandons every execution that was given this token, now or later. A token stays triggered.
 * NULL is allowed and does nothing.
 *
 * Safe from any thread, also from a callback or a signal handler; never blocks or calls back.
 *
 * # Safety
 * `cancel` is NULL or a token that was not freed.
 */
void braid_cancel_trigger(const struct braid_cancel *cancel);

/**
 * Frees a token; NULL is allowed. Executions that were given it go on, and cannot be cancelled
 * any more unless it was triggered.
 *
 * Never blocks or calls back.
 *
 * # Safety
 * `cancel` is NULL or a token that was not freed, and nobody else uses it.
 */
void braid_cancel_free(struct braid_cancel *cancel);

/**
 * A known chain: `mainnet`, `sepolia`, `holesky` or `hoodi`.
 *
 * Ownership: `name` (NUL-terminated) is borrowed; the caller frees `*out`. Safe from any thread;
 * never blocks or calls back.
 *
 * # Safety
 * `name` is NULL or a string; `out` may be written; `error` is NULL or may be written.
 */
int32_t braid_chain_by_name(const char *name, struct braid_chain **out, struct braid_error **error);

/**
 * Any chain, from the `config` object of a geth genesis file. A key that is not known is refused,
 * for it may be a fork.
 *
 * Ownership: `json` (UTF-8, `len` bytes) is borrowed; the caller frees `*out`. Safe from any
 * thread; never blocks or calls back.
 *
 * # Safety
 * `json` points to `len` readable bytes; `out` may be written; `error` is NULL or may be written.
 */
int32_t braid_chain_from_config(const uint8_t *json,
                                size_t len,
                                struct braid_chain **out,
                                struct braid_error **error);

/**
 * The chain id (EIP-155); 0 for NULL.
 *
 * Safe from any thread; never blocks or calls back.
 *
 * # Safety
 * `chain` is NULL or a chain that was not freed.
 */
uint64_t braid_chain_id(const struct braid_chain *chain);

/**
 * Frees a chain; NULL is allowed. A block that is being executed keeps its rules.
 *
 * Never blocks or calls back.
 *
 * # Safety
 * `chain` is NULL or a chain that was not freed, and nobody else uses it.
 */
void braid_chain_free(struct braid_chain *chain);

/**
 * What the error says; NULL for NULL.
 *
 * Ownership: borrowed, valid until the error is freed. Safe from any thread; never blocks or
 * calls back.
 *
 * # Safety
 * `error` is NULL or an error that was not freed.
 */
const struct braid_error_view *braid_error_get(const struct braid_error *error);

/**
 * The index in the range of the block that failed; -1 where it is not a block of a range that
 * failed, and for NULL. Since ABI 0.3.
 *
 * Safe from any thread; never blocks or calls back.
 *
 * # Safety
 * `error` is NULL or an error that was not freed.
 */
int64_t braid_error_block(const struct braid_error *error);

/**
 * Frees an error and its view; NULL is allowed.
 *
 * Never blocks or calls back.
 *
 * # Safety
 * `error` is NULL or an error that was not freed, and nobody else uses it.
 */
void braid_error_free(struct braid_error *error);

/**
 * Executes a block on its parent state.
 *
 * A status from 300 to 399 means that the block is invalid; any other one but `BRAID_OK` means
 * that nothing is known about it. The executor is usable after any of them.
 *
 * Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
 * executor take turns. Blocks until the block is done; calls the reader and `commit` back, on this
 * and other threads. A callback that calls this function is answered `BRAID_REENTRANT`. The
 * calling thread executes too; its stack needs 256 KiB.
 *
 * # Safety
 * `executor` is NULL or live. `request` is NULL or points to as many bytes as its `struct_size`
 * says, and so do the structs that it points to; its handles are live; its bytes are readable.
 * `out` may be written; `error` is NULL or may be written.
 */
int32_t braid_execute(const struct braid_executor *executor,
                      const struct braid_request *request,
                      struct braid_result **out,
                      struct braid_error **error);

/**
 * Starts an executor. `options` may be NULL: one thread per core.
 *
 * Ownership: `options` is borrowed; the caller frees `*out`. Safe from any thread; may block while
 * threads start; never calls back. A process that forks must not use it in the child.
 *
 * # Safety
 * `options` is NULL or points to as many bytes as its `struct_size` says; `out` may be written;
 * `error` is NULL or may be written.
 */
int32_t braid_executor_new(const struct braid_executor_options *options,
                           struct braid_executor **out,
                           struct braid_error **error);

/**
 * Ends an executor; NULL is allowed. Where a block is being executed, its threads end after it.
 *
 * May block until the threads have ended; never calls back.
 *
 * # Safety
 * `executor` is NULL or an executor that was not freed, and nobody begins to use it any more.
 */
void braid_executor_free(struct braid_executor *executor);

/**
 * Imports a block on its parent state: recovers the senders on the executor's threads, compares
 * the body with the header (transactions root, ommers hash, withdrawals root), executes the block,
 * and compares the result with the header as `BRAID_CHECK_HEADER` does, whether that is set or
 * not. Not compared: the state root, and what relates the header to its parent. Since ABI 0.3.
 *
 * As for `braid_execute`, the commit stream included, but: `request->block->senders` must be NULL
 * (else `BRAID_INVALID_ARGUMENT`), a body that the header contradicts is `BRAID_BODY_MISMATCH`,
 * and `braid_result_import` gives what the import found. The error's message names the header's
 * field.
 *
 * Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
 * executor take turns. Blocks until the block is done; calls the reader and `commit` back, on this
 * and other threads.
 *
 * # Safety
 * As for `braid_execute`.
 */
int32_t braid_import(const struct braid_executor *executor,
                     const struct braid_request *request,
                     struct braid_result **out,
                     struct braid_error **error);

/**
 * What `braid_import` found beside the result; NULL for a result of another function, and for
 * NULL. Since ABI 0.3.
 *
 * Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
 * thread; never blocks or calls back.
 *
 * # Safety
 * `result` is NULL or a result that was not freed.
 */
const struct braid_import_view *braid_result_import(const struct braid_result *result);

/**
 * Executes a block, and produces its access list whatever its fork: `BRAID_HAS_ACCESS_LIST` is set
 * in the result, and `access_list_rlp` is the list. On a fork with access lists `braid_execute`
 * produces it too. Costs some time and memory more than that. Since ABI 0.3.
 *
 * As for `braid_execute`, but `request->commit` must be NULL (else `BRAID_INVALID_ARGUMENT`).
 *
 * Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
 * executor take turns. Blocks until the block is done; calls the reader back, on this and other
 * threads.
 *
 * # Safety
 * As for `braid_execute`.
 */
int32_t braid_produce_access_list(const struct braid_executor *executor,
                                  const struct braid_request *request,
                                  struct braid_result **out,
                                  struct braid_error **error);

/**
 * As `braid_produce_access_list`, helped by `request->block->access_list_rlp`, which is claimed to
 * be the block's list and must be given (else `BRAID_NULL_ARGUMENT`), and compares the claim with
 * what the execution produced: `braid_result_access_list_check`. Since ABI 0.3.
 *
 * With a right list each transaction runs once, without waiting for the ones before it. A wrong
 * one costs time, and changes neither the result nor the status: where the header commits to the
 * list, it is for the host to say that a mismatch makes the block invalid. What cannot be decoded
 * is `BRAID_BAD_ACCESS_LIST`.
 *
 * Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
 * executor take turns. Blocks until the block is done; calls the reader back, on this and other
 * threads.
 *
 * # Safety
 * As for `braid_execute`.
 */
int32_t braid_execute_with_access_list(const struct braid_executor *executor,
                                       const struct braid_request *request,
                                       struct braid_result **out,
                                       struct braid_error **error);

/**
 * How the claimed access list relates to the produced one; NULL unless the result came from
 * `braid_execute_with_access_list`, and for NULL. Since ABI 0.3.
 *
 * Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
 * thread; never blocks or calls back.
 *
 * # Safety
 * `result` is NULL or a result that was not freed.
 */
const struct braid_access_list_check *braid_result_access_list_check(const struct braid_result *result);

/**
 * Makes an empty pre-state.
 *
 * Ownership: the caller frees `*out`. Safe from any thread; never blocks or calls back.
 *
 * # Safety
 * `out` may be written; `error` is NULL or may be written.
 */
int32_t braid_prestate_new(struct braid_prestate **out, struct braid_error **error);

/**
 * Adds or replaces an account; its storage stays.
 *
 * Ownership: everything is borrowed. One thread at a time; never blocks or calls back.
 *
 * # Safety
 * `prestate` is a pre-state that nobody else uses; `address` and `account` are NULL or readable;
 * `error` is NULL or may be written.
 */
int32_t braid_prestate_account(struct braid_prestate *prestate,
                               const struct braid_address *address,
                               const struct braid_account *account,
                               struct braid_error **error);

/**
 * Sets storage slots of an account that was added before; a zero value removes a slot.
 *
 * Ownership: everything is borrowed. One thread at a time; never blocks or calls back.
 *
 * # Safety
 * `prestate` is a pre-state that nobody else uses; `address` is NULL or readable; `slots` points
 * to `count` slots; `error` is NULL or may be written.
 */
int32_t braid_prestate_storage(struct braid_prestate *prestate,
                               const struct braid_address *address,
                               const struct braid_slot *slots,
                               size_t count,
                               struct braid_error **error);

/**
 * Adds a code under its Keccak-256, which is written to `hash` unless that is NULL.
 *
 * Ownership: `code` is copied. One thread at a time; never blocks or calls back.
 *
 * # Safety
 * `prestate` is a pre-state that nobody else uses; `code` points to `len` readable bytes; `hash`
 * is NULL or may be written; `error` is NULL or may be written.
 */
int32_t braid_prestate_code(struct braid_prestate *prestate,
                            const uint8_t *code,
                            size_t len,
                            struct braid_hash *hash,
                            struct braid_error **error);

/**
 * Adds the hash of an ancestor, for BLOCKHASH.
 *
 * Ownership: `hash` is borrowed. One thread at a time; never blocks or calls back.
 *
 * # Safety
 * `prestate` is a pre-state that nobody else uses; `hash` is NULL or readable; `error` is NULL or
 * may be written.
 */
int32_t braid_prestate_block_hash(struct braid_prestate *prestate,
                                  uint64_t number,
                                  const struct braid_hash *hash,
                                  struct braid_error **error);

/**
 * Frees a pre-state; NULL is allowed.
 *
 * Never blocks or calls back.
 *
 * # Safety
 * `prestate` is NULL or a pre-state that was not freed, and nobody else uses it, no execution
 * either.
 */
void braid_prestate_free(struct braid_prestate *prestate);

/**
 * Executes consecutive blocks, the first one on the state that the reader or the pre-state has,
 * each other one on what the blocks before it leave, and gives every result to `each`. With more
 * than one thread the blocks overlap: idle threads go ahead with the next one. Each result is what
 * `braid_execute` gives for the block. Since ABI 0.3.
 *
 * The state is asked for nothing that a block of the range has changed, and for no hash of one.
 * All blocks are decoded first. Memory: the decoded blocks, what two blocks need, and an entry for
 * each account and slot that the range has changed so far; give a long range in parts.
 *
 * The error's `transaction` and message are those of the block that failed, and
 * `braid_error_block` says which one it is. `each` got all blocks before that one and no other;
 * none where a block cannot be decoded. A status from 300 to 399 means that this block is invalid,
 * `BRAID_BROKEN_RANGE` that it does not follow the block before it, any other one but `BRAID_OK`
 * that nothing is known about it. In `braid_statistics`, `execute_ns` is the time since the block
 * before was given, and `reads` and `batched_reads` count since then.
 *
 * Ownership: `range` is borrowed; `each` owns the results. Safe from any thread; calls on one
 * executor take turns. Blocks until the range is done; calls `each` back on this thread, the
 * reader on this and other threads. A callback that calls this function is answered
 * `BRAID_REENTRANT`. The calling thread executes too; its stack needs 256 KiB.
 *
 * # Safety
 * `executor` is NULL or live. `range` is NULL or points to as many bytes as its `struct_size`
 * says, and so do the structs that it points to; its handles are live; its bytes are readable.
 * `error` is NULL or may be written.
 */
int32_t braid_execute_range(const struct braid_executor *executor,
                            const struct braid_range_request *range,
                            struct braid_error **error);

/**
 * Gives the code to the library; once per callback.
 *
 * Ownership: `code` is copied. Only inside the callback that was given `sink`, on its thread;
 * never blocks or calls back. Returns `BRAID_OK`, `BRAID_NULL_ARGUMENT`, `BRAID_INVALID_ARGUMENT`
 * or, for a second code, `BRAID_WRONG_STATE`.
 *
 * # Safety
 * `sink` is NULL or the running callback's; `code` points to `len` readable bytes.
 */
int32_t braid_code_put(struct braid_code_sink *sink, const uint8_t *code, size_t len);

/**
 * The whole result; NULL for NULL.
 *
 * Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
 * thread; never blocks or calls back.
 *
 * # Safety
 * `result` is NULL or a result that was not freed.
 */
const struct braid_result_view *braid_result_get(const struct braid_result *result);

/**
 * Frees a result and its view; NULL is allowed.
 *
 * Never blocks or calls back.
 *
 * # Safety
 * `result` is NULL or a result that was not freed, and nobody else uses it.
 */
void braid_result_free(struct braid_result *result);

/**
 * The name of a status code, `"UNKNOWN"` for any other number.
 *
 * Ownership: a static string, NUL-terminated. Safe from any thread; never blocks or calls back.
 */
const char *braid_status_name(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BRAID_H */
