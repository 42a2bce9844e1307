#include "blocks_range.h"

#include "check.h"

#include <string.h>

typedef struct taken {
    const dump *const *dumps;
    braid_result **results;
    uint64_t count;
} taken;

/* Keeps what it is given: the results outlive the call. */
static int32_t take(void *user, uint64_t index, braid_result *result) {
    taken *taken = user;
    CHECK_EQUAL(index, taken->count);
    CHECK(result != NULL);
    taken->results[taken->count++] = result;
    return BRAID_OK;
}

static void execute(const braid_executor *executor, const braid_range_request *request,
                    const char *name, const dump *const *dumps) {
    taken taken = {dumps, calloc((size_t)request->blocks_count, sizeof(braid_result *)), 0};
    CHECK(taken.results != NULL);
    braid_range_request with = *request;
    with.each = take;
    with.each_user = &taken;
    braid_error *error = NULL;
    int32_t status = braid_execute_range(executor, &with, &error);
    if (status != BRAID_OK) {
        fprintf(stderr, "%s: %s: %s\n", name, braid_status_name(status),
                braid_error_get(error)->message);
        exit(1);
    }
    CHECK(error == NULL);
    CHECK_EQUAL(taken.count, request->blocks_count);
    uint64_t reads = 0, batched = 0;
    for (uint64_t i = 0; i < taken.count; i++) {
        dump_check(dumps[i], taken.results[i]);
        const braid_result_view *view = braid_result_get(taken.results[i]);
        CHECK(view->receipts_rlp.len > 0);
        reads += view->statistics->reads;
        batched += view->statistics->batched_reads;
        braid_result_free(taken.results[i]);
    }
    int has_batches = with.reader != NULL && with.reader->read_many != NULL;
    if (!has_batches) CHECK_EQUAL(reads > 0, with.reader != NULL);
    if (dumps[0]->transactions_count > 0) CHECK_EQUAL(batched > 0, has_batches);
    free(taken.results);
}

void range_of_blocks(const braid_executor *executor, const braid_chain *chain, const char *name,
                     const dump *const *dumps, uint64_t count) {
    braid_block *blocks = calloc((size_t)count, sizeof *blocks);
    const braid_block **pointers = calloc((size_t)count, sizeof *pointers);
    CHECK(blocks != NULL && pointers != NULL);
    for (uint64_t i = 0; i < count; i++) {
        blocks[i] = i % 2 == 0 ? dump_parts(dumps[i]) : dump_whole(dumps[i]);
        pointers[i] = &blocks[i];
    }
    braid_prestate *state = dump_prestate(dumps[0]);
    braid_reader reader = dump_reader(dumps[0]);
    braid_range_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.flags = BRAID_CHECK_HEADER | BRAID_WANT_RECEIPTS_RLP;
    request.chain = chain;
    request.blocks = pointers;
    request.blocks_count = count;
    request.prestate = state;
    execute(executor, &request, name, dumps);
    request.prestate = NULL;
    request.reader = &reader;
    execute(executor, &request, name, dumps);
    reader.prefetch = dump_prefetch;
    reader.read_many = dump_read_many;
    execute(executor, &request, name, dumps);
    braid_prestate_free(state);
    free(pointers);
    free(blocks);
}
