/* Arguments and inputs that are wrong before any state is read. */

#include "check.h"
#include "hostile.h"

#include <string.h>

static void null_in_setup(const host *host) {
    braid_error *error = NULL;
    braid_chain *chain = NULL;
    const uint8_t *json = (const uint8_t *)"{}";
    CHECK_EQUAL(braid_chain_by_name(NULL, &chain, &error), BRAID_NULL_ARGUMENT);
    CHECK(error != NULL && chain == NULL);
    braid_error_free(error);
    CHECK_EQUAL(braid_chain_by_name("mainnet", NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_chain_from_config(NULL, 2, &chain, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_chain_from_config(json, 2, NULL, NULL), BRAID_BAD_CHAIN_CONFIG);
    CHECK_EQUAL(braid_chain_id(NULL), 0);
    CHECK_EQUAL(braid_executor_new(NULL, NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_cancel_new(NULL, NULL), BRAID_NULL_ARGUMENT);
    braid_cancel_trigger(NULL);
    CHECK(braid_error_get(NULL) == NULL);
    CHECK(braid_result_get(NULL) == NULL);
    braid_chain_free(NULL);
    braid_executor_free(NULL);
    braid_cancel_free(NULL);
    braid_prestate_free(NULL);
    braid_result_free(NULL);
    braid_error_free(NULL);
    /* No options: the defaults. */
    struct host other = *host;
    CHECK_EQUAL(braid_executor_new(NULL, &other.executor, NULL), BRAID_OK);
    host_usable(&other);
    braid_executor_free(other.executor);
}

static void null_in_prestate(void) {
    braid_prestate *state = NULL;
    braid_address address = {{1}};
    braid_account account;
    braid_slot slot;
    braid_hash hash;
    memset(&account, 0, sizeof account);
    memset(&slot, 0, sizeof slot);
    memset(&hash, 0, sizeof hash);
    CHECK_EQUAL(braid_prestate_new(NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_new(&state, NULL), BRAID_OK);
    CHECK_EQUAL(braid_prestate_account(NULL, &address, &account, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_account(state, NULL, &account, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_account(state, &address, NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_storage(state, &address, &slot, 1, NULL), BRAID_WRONG_STATE);
    CHECK_EQUAL(braid_prestate_account(state, &address, &account, NULL), BRAID_OK);
    CHECK_EQUAL(braid_prestate_storage(NULL, &address, &slot, 1, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_storage(state, NULL, &slot, 1, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_storage(state, &address, NULL, 1, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_storage(state, &address, NULL, 0, NULL), BRAID_OK);
    CHECK_EQUAL(braid_prestate_code(NULL, address.bytes, 1, &hash, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_code(state, NULL, 1, &hash, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_code(state, NULL, 0, NULL, NULL), BRAID_OK);
    CHECK_EQUAL(braid_prestate_block_hash(NULL, 1, &hash, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_prestate_block_hash(state, 1, NULL, NULL), BRAID_NULL_ARGUMENT);
    braid_prestate_free(state);
}

void test_null_pointers(const host *host) {
    null_in_setup(host);
    null_in_prestate();
    CHECK_EQUAL(braid_code_put(NULL, NULL, 0), BRAID_NULL_ARGUMENT);
    braid_result *result = NULL;
    const braid_request *request = &host->request;
    CHECK_EQUAL(braid_execute(NULL, request, &result, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_execute(host->executor, NULL, &result, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_execute(host->executor, request, NULL, NULL), BRAID_NULL_ARGUMENT);
    braid_request without = *request;
    without.chain = NULL;
    CHECK_EQUAL(host_execute(host, &without), BRAID_NULL_ARGUMENT);
    without = *request;
    without.block = NULL;
    CHECK_EQUAL(host_execute(host, &without), BRAID_NULL_ARGUMENT);
    without = *request;
    without.prestate = NULL;
    CHECK_EQUAL(host_execute(host, &without), BRAID_NULL_ARGUMENT);
    for (int missing = 0; missing < 4; missing++) {
        braid_reader reader = host->reader;
        if (missing == 0) reader.account = NULL;
        if (missing == 1) reader.storage = NULL;
        if (missing == 2) reader.code = NULL;
        if (missing == 3) reader.block_hash = NULL;
        without.reader = &reader;
        CHECK_EQUAL(host_execute(host, &without), BRAID_NULL_ARGUMENT);
    }
    braid_block parts[6];
    for (int i = 0; i < 6; i++) parts[i] = dump_parts(host->dump);
    parts[0].header_rlp.ptr = NULL;
    parts[1].transactions = NULL;
    parts[2].senders = NULL;
    parts[3].ommers_rlp.len = 7;
    parts[4].withdrawals_rlp.ptr = NULL;
    parts[5].access_list_rlp.len = 7;
    for (int i = 0; i < 6; i++) {
        without = *request;
        without.block = &parts[i];
        CHECK_EQUAL(host_execute(host, &without), BRAID_NULL_ARGUMENT);
    }
}

/* A struct with room behind it, as a later version's would have. */
typedef struct roomy {
    union {
        uint32_t struct_size;
        braid_request request;
        braid_block block;
        braid_reader reader;
        braid_executor_options options;
    } as;
    uint8_t room[8192];
} roomy;

static int32_t execute_roomy(const host *host, int which, roomy *roomy) {
    braid_request request = host->request;
    if (which == 0) return host_execute(host, &roomy->as.request);
    if (which == 1) {
        request.block = &roomy->as.block;
        return host_execute(host, &request);
    }
    if (which == 2) {
        request.prestate = NULL;
        request.reader = &roomy->as.reader;
        return host_execute(host, &request);
    }
    braid_executor *executor = NULL;
    int32_t status = braid_executor_new(&roomy->as.options, &executor, NULL);
    braid_executor_free(executor);
    return status;
}

void test_struct_sizes(const host *host) {
    static const uint32_t SIZES[] = {sizeof(braid_request), sizeof(braid_block),
                                     sizeof(braid_reader), sizeof(braid_executor_options)};
    /* As a host of ABI 0.1 has them. */
    static const uint32_t FIRST[] = {offsetof(braid_request, commit), sizeof(braid_block),
                                     offsetof(braid_reader, prefetch),
                                     sizeof(braid_executor_options)};
    for (int which = 0; which < 4; which++) {
        roomy *roomy = calloc(1, sizeof *roomy);
        CHECK(roomy != NULL);
        if (which == 0) roomy->as.request = host->request;
        if (which == 1) roomy->as.block = host->block;
        if (which == 2) roomy->as.reader = host->reader;
        if (which == 3) roomy->as.options.threads = 1;
        for (uint32_t size = 0; size <= 4097; size++) {
            roomy->as.struct_size = size;
            int whole = size >= SIZES[which] || size % 8 == 0;
            int fits = size >= FIRST[which] && size <= 4096 && whole;
            /* Most sizes that fit are alike. */
            if (size > SIZES[which] + 16 && size < 4090) continue;
            int32_t status = execute_roomy(host, which, roomy);
            CHECK_EQUAL(status, fits ? BRAID_OK : BRAID_STRUCT_SIZE);
        }
        roomy->as.struct_size = UINT32_MAX;
        CHECK_EQUAL(execute_roomy(host, which, roomy), BRAID_STRUCT_SIZE);
        roomy->as.struct_size = SIZES[which] + 8;
        ((uint8_t *)roomy)[SIZES[which] + 7] = 1;
        CHECK_EQUAL(execute_roomy(host, which, roomy), BRAID_STRUCT_SIZE);
        free(roomy);
    }
}

void test_arguments(const host *host) {
    braid_request request = host->request;
    request.flags = 1u << 31;
    CHECK_EQUAL(host_execute(host, &request), BRAID_INVALID_ARGUMENT);
    request = host->request;
    request.reader = &host->reader;
    CHECK_EQUAL(host_execute(host, &request), BRAID_INVALID_ARGUMENT);
    braid_reader reader = host->reader;
    reader.flags = 1u << 31;
    request.prestate = NULL;
    request.reader = &reader;
    CHECK_EQUAL(host_execute(host, &request), BRAID_INVALID_ARGUMENT);
    reader.flags = BRAID_READER_SLOW | BRAID_READER_SERIAL;
    CHECK_EQUAL(host_execute(host, &request), BRAID_INVALID_ARGUMENT);
    braid_executor *executor = NULL;
    braid_executor_options options = {sizeof options, 1025, 0, 0};
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_INVALID_ARGUMENT);
    options.threads = 1;
    options.flags = 2;
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_INVALID_ARGUMENT);
    options.flags = 0;
    options.reserved = 1;
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_INVALID_ARGUMENT);

    braid_block blocks[7];
    for (int i = 0; i < 7; i++) blocks[i] = i < 3 ? host->block : dump_parts(host->dump);
    blocks[0].rlp.len = UINT64_MAX;
    blocks[1].header_rlp = host->dump->header_rlp;
    blocks[2].transactions_count = 1;
    blocks[3].senders_count -= 1;
    blocks[4].transactions_count = UINT64_MAX;
    blocks[5].senders_count = UINT64_MAX / 2;
    blocks[6].reserved = 1;
    request = host->request;
    for (int i = 0; i < 7; i++) {
        request.block = &blocks[i];
        CHECK_EQUAL(host_execute(host, &request), BRAID_INVALID_ARGUMENT);
    }
}
