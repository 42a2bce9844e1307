/* Every dumped block through the ABI: in memory, through callbacks and batches, as one RLP and in
   parts, with and without the commit stream, executed, imported, with its access list, and in a
   range, at 1, 2, 4 and 8 threads. Each result must be the header's, and its changes those of
   sequential execution. The arguments are dumped blocks. */

#include "blocks_commits.h"
#include "blocks_import.h"
#include "blocks_list.h"
#include "blocks_range.h"
#include "check.h"
#include "dump.h"

#include <string.h>

static void execute(const braid_executor *executor, const braid_chain *chain, const char *name,
                    const dump *dump, const braid_block *block, const braid_reader *reader,
                    const braid_prestate *state, int streamed) {
    braid_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.flags = BRAID_WANT_RECEIPTS_RLP | BRAID_CHECK_HEADER;
    request.chain = chain;
    request.block = block;
    request.reader = reader;
    request.prestate = state;
    fold *fold = fold_new(dump);
    if (streamed) {
        request.commit = fold_commit;
        request.commit_user = fold;
    }
    braid_result *result = NULL;
    braid_error *error = NULL;
    int32_t status = braid_execute(executor, &request, &result, &error);
    if (status != BRAID_OK) {
        fprintf(stderr, "%s: %s: %s\n", name, braid_status_name(status),
                braid_error_get(error)->message);
        exit(1);
    }
    CHECK(error == NULL);
    dump_check(dump, result);
    CHECK(braid_result_get(result)->receipts_rlp.len > 0);
    const braid_statistics *statistics = braid_result_get(result)->statistics;
    CHECK(statistics->workers > 0 || dump->transactions_count == 0);
    int batched = reader != NULL && reader->read_many != NULL;
    if (!batched) CHECK_EQUAL(statistics->reads > 0, reader != NULL);
    if (!batched || dump->transactions_count > 0) {
        CHECK_EQUAL(statistics->batched_reads > 0, batched);
    }
    if (streamed) fold_check(fold, result);
    fold_free(fold);
    braid_result_free(result);
}

static void execute_both(const braid_executor *executor, const char *name, const dump *dump) {
    braid_chain *chain = dump_chain(dump);
    CHECK_EQUAL(braid_chain_id(chain), 1);
    braid_prestate *state = dump_prestate(dump);
    braid_reader reader = dump_reader(dump), serial = reader, slow = reader;
    serial.flags = BRAID_READER_SERIAL;
    slow.flags = BRAID_READER_SLOW;
    braid_block whole = dump_whole(dump), parts = dump_parts(dump);
    execute(executor, chain, name, dump, &whole, NULL, state, 0);
    execute(executor, chain, name, dump, &parts, NULL, state, 1);
    execute(executor, chain, name, dump, &parts, &reader, NULL, 0);
    execute(executor, chain, name, dump, &parts, &slow, NULL, 0);
    /* The list that the block yields, as a hint. */
    parts.access_list_rlp = dump->access_list;
    execute(executor, chain, name, dump, &parts, &serial, NULL, 0);
    reader.prefetch = dump_prefetch;
    reader.read_many = dump_read_many;
    execute(executor, chain, name, dump, &parts, &reader, NULL, 1);
    import_block(executor, chain, name, dump, &reader, NULL);
    import_block(executor, chain, name, dump, NULL, state);
    list_block(executor, chain, name, dump, &reader, NULL);
    list_block(executor, chain, name, dump, NULL, state);
    range_of_blocks(executor, chain, name, &dump, 1);
    braid_prestate_free(state);
    braid_chain_free(chain);
}

int main(int count, char **names) {
    static const uint32_t THREADS[] = {1, 2, 4, 8};
    CHECK_EQUAL(braid_abi_version(), BRAID_ABI_VERSION);
    CHECK(count > 1);
    dump **dumps = calloc((size_t)count, sizeof *dumps);
    CHECK(dumps != NULL);
    const dump **line = calloc((size_t)count, sizeof *line);
    CHECK(line != NULL);
    uint64_t line_count = 0;
    for (int i = 1; i < count; i++) {
        dumps[i] = dump_read(names[i]);
        /* Consecutive ones, in the order of their names. */
        if (strstr(names[i], "/line-") != NULL) line[line_count++] = dumps[i];
    }
    for (size_t t = 0; t < sizeof THREADS / sizeof *THREADS; t++) {
        braid_executor_options options = {sizeof options, THREADS[t], BRAID_EXECUTOR_FORCED, 0};
        braid_executor *executor = NULL;
        CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_OK);
        for (int i = 1; i < count; i++) execute_both(executor, names[i], dumps[i]);
        if (line_count > 0) {
            braid_chain *chain = dump_chain(line[0]);
            range_of_blocks(executor, chain, "the line", line, line_count);
            braid_chain_free(chain);
        }
        braid_executor_free(executor);
    }
    for (int i = 1; i < count; i++) dump_free(dumps[i]);
    free(dumps);
    free(line);
    printf("%d blocks, at 1, 2, 4 and 8 threads, in memory and through callbacks: equal\n",
           count - 1);
    return 0;
}
