#include "blocks_import.h"

#include "blocks_commits.h"
#include "check.h"

#include <string.h>

static void check_import(const dump *dump, const braid_result *result, braid_hash *hash) {
    const braid_import_view *view = braid_result_import(result);
    CHECK(view != NULL && view->struct_size >= sizeof *view);
    CHECK_ARRAY(view->senders, view->senders_count);
    CHECK_EQUAL(view->senders_count, dump->transactions_count);
    for (uint64_t i = 0; i < view->senders_count; i++) {
        CHECK(memcmp(&view->senders[i], &dump->senders[i], sizeof *view->senders) == 0);
    }
    *hash = view->block_hash;
}

void import_block(const braid_executor *executor, const braid_chain *chain, const char *name,
                  const dump *dump, const braid_reader *reader, const braid_prestate *state) {
    braid_block blocks[] = {dump_whole(dump), dump_parts(dump)};
    blocks[1].senders = NULL;
    blocks[1].senders_count = 0;
    braid_hash hashes[2];
    for (int i = 0; i < 2; i++) {
        fold *fold = fold_new(dump);
        braid_request request;
        memset(&request, 0, sizeof request);
        request.struct_size = sizeof request;
        request.flags = i == 0 ? BRAID_WANT_RECEIPTS_RLP : 0;
        request.chain = chain;
        request.block = &blocks[i];
        request.reader = reader;
        request.prestate = state;
        request.commit = fold_commit;
        request.commit_user = fold;
        braid_result *result = NULL;
        braid_error *error = NULL;
        int32_t status = braid_import(executor, &request, &result, &error);
        if (!dump->has_body) {
            CHECK_EQUAL(status, BRAID_BODY_MISMATCH);
            CHECK(result == NULL && braid_error_get(error)->transaction == -1);
            braid_error_free(error);
            fold_free(fold);
            continue;
        }
        if (status != BRAID_OK) {
            fprintf(stderr, "%s: import: %s: %s\n", name, braid_status_name(status),
                    braid_error_get(error)->message);
            exit(1);
        }
        CHECK(error == NULL);
        dump_check(dump, result);
        CHECK_EQUAL(braid_result_get(result)->receipts_rlp.len > 0, i == 0);
        fold_check(fold, result);
        fold_free(fold);
        check_import(dump, result, &hashes[i]);
        braid_result_free(result);
    }
    CHECK(!dump->has_body || memcmp(&hashes[0], &hashes[1], sizeof hashes[0]) == 0);
}
