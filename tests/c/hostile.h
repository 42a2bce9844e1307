/* What the tests of a hostile host share: one small block, an executor, a request that works. */
#ifndef BRAID_TEST_HOSTILE_H
#define BRAID_TEST_HOSTILE_H

#include "dump.h"

enum { LINE = 4 };

typedef struct host {
    dump *dump;
    braid_chain *chain;
    braid_executor *executor;
    braid_prestate *state;
    braid_block block;
    braid_reader reader;
    /* From memory, without reader. */
    braid_request request;
    /* Consecutive small blocks. */
    dump *line[LINE];
} host;

/* Executes and frees; gives the status, and checks that the error object agrees with it. */
int32_t host_execute(const host *host, const braid_request *request);
/* As `host_execute`; also gives what the error object says. */
int32_t host_error(const host *host, const braid_request *request, int64_t *transaction,
                   int32_t *host_code);
/* The executor still executes the block. */
void host_usable(const host *host);

/* Into `list`, a list of ommers with the block's own header as the only one; its bytes. */
enum { OMMERS = 2048 };
braid_bytes host_ommers(const host *host, uint8_t list[OMMERS]);

/* A reader of a block's state that fails from its `at`-th read of an account on, with what `fail`
   says. */
typedef struct failing {
    dump *dump;
    const host *host;
    int reads, at;
    int32_t (*fail)(struct failing *failing);
    int32_t reentered;
} failing;
braid_reader failing_reader(failing *failing);

/* hostile_arguments.c, hostile_input.c */
void test_null_pointers(const host *host);
void test_struct_sizes(const host *host);
void test_arguments(const host *host);
void test_undecodable_parts(const host *host);
void test_chains(const host *host);
void test_truncation(const host *host);
void test_truncated_parts(const host *host);
void test_flipped_bytes(const host *host);
void test_broken_configs(const host *host);
void test_invalid_blocks(const host *host);

/* hostile_reader.c */
void test_failing_reads(const host *host);
void test_codes(const host *host);
void test_cancel(const host *host);
void test_timeout(const host *host);
void test_reentry(const host *host);
void test_free_inside(const host *host);
void test_serial(const host *host);
void test_slow(const host *host);
void test_concurrent_calls(const host *host);
void test_many_executors(const host *host);
void test_stalled_and_cancelled(const host *host);

/* hostile_import.c */
void test_import_arguments(const host *host);
void test_import_of_other_bodies(const host *host);
void test_import_of_flipped_bytes(const host *host);
void test_import_failures(const host *host);

/* hostile_list.c */
void test_list_arguments(const host *host);
void test_list_differences(const host *host);
void test_list_of_flipped_bytes(const host *host);
void test_list_failures(const host *host);

/* hostile_range.c */
void test_range_arguments(const host *host);
void test_range_of_bad_blocks(const host *host);
void test_range_answers(const host *host);
void test_range_failures(const host *host);
void test_range_tricks(const host *host);

/* hostile_commit.c */
void test_refused_commits(const host *host);
void test_commit_tricks(const host *host);
void test_commits_of_invalid_blocks(const host *host);
void test_batches(const host *host);

#endif
