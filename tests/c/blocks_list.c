#include "blocks_list.h"

#include "check.h"

#include <string.h>

void list_block(const braid_executor *executor, const braid_chain *chain, const char *name,
                const dump *dump, const braid_reader *reader, const braid_prestate *state) {
    braid_block block = dump_parts(dump);
    braid_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.flags = BRAID_CHECK_HEADER;
    request.chain = chain;
    request.block = &block;
    request.reader = reader;
    request.prestate = state;
    braid_result *produced = NULL, *listed = NULL;
    braid_error *error = NULL;
    int32_t status = braid_produce_access_list(executor, &request, &produced, &error);
    if (status == BRAID_OK) {
        dump_check_listed(dump, produced);
        CHECK(braid_result_access_list_check(produced) == NULL);
        block.access_list_rlp = braid_result_get(produced)->access_list_rlp;
        status = braid_execute_with_access_list(executor, &request, &listed, &error);
    }
    if (status != BRAID_OK) {
        fprintf(stderr, "%s: access list: %s: %s\n", name, braid_status_name(status),
                braid_error_get(error)->message);
        exit(1);
    }
    CHECK(error == NULL);
    dump_check_listed(dump, listed);
    const braid_access_list_check *check = braid_result_access_list_check(listed);
    CHECK(check != NULL && check->struct_size >= sizeof *check);
    if (check->mismatches != 0) fprintf(stderr, "%s: %s\n", name, check->message);
    CHECK_EQUAL(check->mismatches, 0);
    CHECK(check->message_len == 0 && check->message[0] == 0 && check->index == -1);
    CHECK(check->claimed.kind == BRAID_VALUE_NOTHING);
    CHECK(check->produced.kind == BRAID_VALUE_NOTHING);
    braid_result_free(produced);
    braid_result_free(listed);
}
