/* A dumped block: what `cargo run -p braid-tests --example dump` writes, read back in C, and fed to
   braid in each of the ways that it takes. */
#ifndef BRAID_TEST_DUMP_H
#define BRAID_TEST_DUMP_H

#include "braid.h"

typedef struct dump_account {
    braid_address address;
    braid_account account;
    const braid_slot *slots;
    uint64_t slots_count;
} dump_account;

typedef struct dump_code {
    braid_hash hash;
    braid_bytes bytes;
} dump_code;

typedef struct dump_block_hash {
    uint64_t number;
    braid_hash hash;
} dump_block_hash;

typedef struct dump {
    braid_bytes chain;
    uint64_t gas_used;
    uint64_t has_status;
    braid_hash receipts_root;
    braid_bloom logs_bloom;
    uint64_t digest;
    uint64_t has_requests;
    braid_hash requests_hash;
    braid_bytes *requests;
    uint64_t requests_count;
    braid_bytes access_list;
    /* What the block yields when it is asked for, whatever its fork. */
    braid_bytes produced_list;
    /* The body is the one that the header means, so that the block can be imported. */
    uint64_t has_body;
    braid_bytes rlp, header_rlp, ommers_rlp, withdrawals_rlp;
    braid_address *senders;
    braid_bytes *transactions;
    uint64_t transactions_count;
    dump_account *accounts;
    uint64_t accounts_count;
    dump_code *codes;
    uint64_t codes_count;
    dump_block_hash *hashes;
    uint64_t hashes_count;
    uint8_t *file;
} dump;

/* Ends the process where the file cannot be read. */
dump *dump_read(const char *path);
void dump_free(dump *dump);

/* The chain's rules. */
braid_chain *dump_chain(const dump *dump);
/* The block as one RLP, its senders to be recovered. */
braid_block dump_whole(const dump *dump);
/* The block as header, transactions and senders. */
braid_block dump_parts(const dump *dump);
/* The parent state in memory. */
braid_prestate *dump_prestate(const dump *dump);
/* The parent state through callbacks, which may run at the same time. */
braid_reader dump_reader(const dump *dump);

/* The callbacks of `dump_reader`; `user` is the dump. */
int32_t dump_account_of(void *user, const braid_address *address, braid_account *account);
int32_t dump_storage_of(void *user, const braid_address *address, const braid_u256 *key,
                        braid_u256 *value);
int32_t dump_code_of(void *user, const braid_hash *hash, braid_code_sink *sink);
int32_t dump_block_hash_of(void *user, uint64_t number, braid_hash *hash);
/* Callbacks that `dump_reader` leaves out. */
int32_t dump_prefetch(void *user, const braid_key *keys, uint64_t count);
int32_t dump_read_many(void *user, const braid_key *keys, uint64_t count, braid_answer *answers);

/* Ends the process where the result is not the dump's. */
void dump_check(const dump *dump, const braid_result *result);
/* As `dump_check`, for a result that was to have the access list whatever the fork. */
void dump_check_listed(const dump *dump, const braid_result *result);

#endif
