/* Access lists that are wrong: a typed status, or the same result with the difference named. */

#include "check.h"
#include "hostile.h"

#include <string.h>

typedef int32_t function(const braid_executor *executor, const braid_request *request,
                         braid_result **out, braid_error **error);

/* What `braid_execute_with_access_list` makes of this list; the caller frees `*result`. */
static int32_t execute(const host *host, braid_bytes list, braid_result **result) {
    braid_block block = dump_parts(host->dump);
    block.access_list_rlp = list;
    braid_request request = host->request;
    request.block = &block;
    *result = NULL;
    braid_error *error = NULL;
    int32_t status = braid_execute_with_access_list(host->executor, &request, result, &error);
    CHECK((status == BRAID_OK) == (*result != NULL));
    CHECK((status == BRAID_OK) == (error == NULL));
    /* Whatever the list says, the block gives the same. */
    if (status == BRAID_OK) dump_check_listed(host->dump, *result);
    braid_error_free(error);
    return status;
}

static braid_bytes copy(braid_bytes of) {
    uint8_t *bytes = malloc(of.len);
    CHECK(bytes != NULL);
    memcpy(bytes, of.ptr, of.len);
    braid_bytes copied = {bytes, of.len};
    return copied;
}

void test_list_arguments(const host *host) {
    static function *const FUNCTIONS[] = {braid_produce_access_list,
                                          braid_execute_with_access_list};
    static const uint8_t NONE[] = {0xc0};
    for (int i = 0; i < 2; i++) {
        braid_result *result = NULL;
        braid_request request = host->request;
        braid_block block = host->block;
        block.access_list_rlp = host->dump->produced_list;
        request.block = &block;
        CHECK_EQUAL(FUNCTIONS[i](NULL, &request, &result, NULL), BRAID_NULL_ARGUMENT);
        CHECK_EQUAL(FUNCTIONS[i](host->executor, NULL, &result, NULL), BRAID_NULL_ARGUMENT);
        CHECK_EQUAL(FUNCTIONS[i](host->executor, &request, NULL, NULL), BRAID_NULL_ARGUMENT);
        request.flags = 1u << 29;
        CHECK_EQUAL(FUNCTIONS[i](host->executor, &request, &result, NULL), BRAID_INVALID_ARGUMENT);
        request.flags = 0;
        request.commit = (braid_commit_fn)1;
        CHECK_EQUAL(FUNCTIONS[i](host->executor, &request, &result, NULL), BRAID_INVALID_ARGUMENT);
        CHECK(result == NULL);
    }
    braid_result *result = NULL;
    braid_bytes list = {NULL, 0};
    CHECK_EQUAL(execute(host, list, &result), BRAID_NULL_ARGUMENT);
    list.len = 1;
    CHECK_EQUAL(execute(host, list, &result), BRAID_NULL_ARGUMENT);
    /* Without an entry: all that the block accesses is missing. */
    list.ptr = NONE;
    CHECK_EQUAL(execute(host, list, &result), BRAID_OK);
    const braid_access_list_check *check = braid_result_access_list_check(result);
    CHECK(check->mismatches > 10);
    CHECK(check->part == BRAID_ACCESS_ACCOUNT && check->index == -1);
    CHECK(check->claimed.kind == BRAID_VALUE_NOTHING);
    CHECK(check->produced.kind == BRAID_VALUE_ACCESSED);
    CHECK(strlen(check->message) == check->message_len && check->message_len > 0);
    braid_result_free(result);
    CHECK(braid_result_access_list_check(NULL) == NULL);
    /* Only an execution with a list has a check. */
    CHECK_EQUAL(braid_execute(host->executor, &host->request, &result, NULL), BRAID_OK);
    CHECK(braid_result_access_list_check(result) == NULL);
    braid_result_free(result);
}

/* Where these three bytes are in the list. */
static uint64_t find(braid_bytes in, const uint8_t *what) {
    uint64_t found = 0;
    for (uint64_t at = 0; at + 3 <= in.len; at++) {
        if (memcmp(in.ptr + at, what, 3) != 0) continue;
        CHECK_EQUAL(found, 0);
        found = at;
    }
    CHECK(found > 0);
    return found;
}

void test_list_differences(const host *host) {
    /* The second transaction leaves 42 in a slot, the last one deploys the code 00: a list of the
       block access index and a value. */
    static const uint8_t SLOT[] = {0xc2, 0x02, 0x2a}, CODE[] = {0xc2, 0x06, 0x00};
    braid_bytes list = copy(host->dump->produced_list);
    uint8_t *bytes = (uint8_t *)list.ptr;
    uint64_t at = find(list, SLOT) + 2;
    braid_result *result = NULL;
    bytes[at] = 41;
    CHECK_EQUAL(execute(host, list, &result), BRAID_OK);
    const braid_access_list_check *check = braid_result_access_list_check(result);
    static const braid_u256 zero;
    CHECK(check->mismatches == 1 && check->part == BRAID_ACCESS_STORAGE && check->index == 2);
    CHECK(check->address.bytes[0] == 0xcc && memcmp(&check->slot, &zero, sizeof zero) == 0);
    CHECK(check->claimed.kind == BRAID_VALUE_WORD && check->claimed.number.bytes[31] == 41);
    CHECK(check->produced.kind == BRAID_VALUE_WORD && check->produced.number.bytes[31] == 42);
    CHECK(strstr(check->message, "block access index 2") != NULL);
    braid_result_free(result);
    bytes[at] = 42;

    at = find(list, CODE) + 2;
    bytes[at] = 1;
    CHECK_EQUAL(execute(host, list, &result), BRAID_OK);
    check = braid_result_access_list_check(result);
    CHECK(check->mismatches == 1 && check->part == BRAID_ACCESS_CODE && check->index == 6);
    CHECK(check->claimed.kind == BRAID_VALUE_CODE && check->claimed.code.len == 1);
    CHECK(check->produced.kind == BRAID_VALUE_CODE && check->produced.code.len == 1);
    CHECK(check->claimed.code.ptr[0] == 1 && check->produced.code.ptr[0] == 0);
    braid_result_free(result);
    /* At another transaction: one too many, one missing; the earlier place comes first. */
    bytes[at] = 0;
    bytes[at - 1] = 5;
    CHECK_EQUAL(execute(host, list, &result), BRAID_OK);
    check = braid_result_access_list_check(result);
    CHECK(check->mismatches == 2 && check->part == BRAID_ACCESS_CODE && check->index == 5);
    CHECK(check->claimed.kind == BRAID_VALUE_CODE);
    CHECK(check->produced.kind == BRAID_VALUE_NOTHING);
    braid_result_free(result);
    bytes[at - 1] = 6;
    CHECK_EQUAL(execute(host, list, &result), BRAID_OK);
    CHECK_EQUAL(braid_result_access_list_check(result)->mismatches, 0);
    braid_result_free(result);
    free(bytes);
}

/* A list with one byte changed is undecodable, or differs; it never changes the result. */
void test_list_of_flipped_bytes(const host *host) {
    braid_bytes list = copy(host->dump->produced_list);
    uint8_t *bytes = (uint8_t *)list.ptr;
    int different = 0, undecodable = 0;
    for (uint64_t at = 0; at < list.len; at++) {
        bytes[at] ^= 1;
        braid_result *result;
        int32_t status = execute(host, list, &result);
        bytes[at] ^= 1;
        if (status == BRAID_OK) {
            const braid_access_list_check *check = braid_result_access_list_check(result);
            CHECK(check->mismatches > 0 && check->message_len > 0);
            different++;
        } else {
            CHECK_EQUAL(status, BRAID_BAD_ACCESS_LIST);
            undecodable++;
        }
        braid_result_free(result);
    }
    CHECK(different > 100 && undecodable > 10);
    for (uint64_t len = 1; len < list.len; len++) {
        braid_bytes part = {bytes, len};
        braid_result *result;
        CHECK_EQUAL(execute(host, part, &result), BRAID_BAD_ACCESS_LIST);
    }
    free(bytes);
}

static int32_t unreadable(void *user, const braid_address *address, braid_account *account) {
    (void)user, (void)address, (void)account;
    return -31;
}

void test_list_failures(const host *host) {
    static function *const FUNCTIONS[] = {braid_produce_access_list,
                                          braid_execute_with_access_list};
    for (int i = 0; i < 2; i++) {
        braid_block block = dump_parts(host->dump);
        block.access_list_rlp = host->dump->produced_list;
        braid_reader reader = host->reader;
        reader.account = unreadable;
        braid_request request = host->request;
        request.block = &block;
        request.prestate = NULL;
        request.reader = &reader;
        braid_result *result = NULL;
        braid_error *error = NULL;
        int32_t status = FUNCTIONS[i](host->executor, &request, &result, &error);
        CHECK_EQUAL(status, BRAID_STATE_UNREADABLE);
        CHECK_EQUAL(braid_error_get(error)->host_code, -31);
        braid_error_free(error);
        request.reader = &host->reader;
        request.timeout_ns = 1;
        CHECK_EQUAL(FUNCTIONS[i](host->executor, &request, &result, NULL), BRAID_TIMED_OUT);
        request.timeout_ns = 0;
        /* A list does not make an invalid block valid. */
        braid_address senders[64];
        CHECK(block.senders_count <= 64);
        memcpy(senders, block.senders, block.senders_count * sizeof *senders);
        memset(&senders[1], 0xee, sizeof senders[1]);
        block.senders = senders;
        status = FUNCTIONS[i](host->executor, &request, &result, &error);
        CHECK_EQUAL(status, BRAID_INVALID_TRANSACTION);
        CHECK_EQUAL(braid_error_get(error)->transaction, 1);
        braid_error_free(error);
        CHECK(result == NULL);
    }
}
