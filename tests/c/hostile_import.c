/* Imports that go wrong: arguments, bodies, bytes, hosts. */

#include "check.h"
#include "hostile.h"

#include <string.h>

/* Imports and frees; gives the status, and checks that the error object agrees with it. `field`, if
   not NULL, must be in the message, and the result must be the dump's. */
static int32_t import(const host *host, const braid_request *request, const char *field) {
    braid_result *result = NULL;
    braid_error *error = NULL;
    int32_t status = braid_import(host->executor, request, &result, &error);
    CHECK((status == BRAID_OK) == (result != NULL));
    CHECK((status == BRAID_OK) == (error == NULL));
    CHECK(strcmp(braid_status_name(status), "UNKNOWN") != 0);
    if (error != NULL) {
        const braid_error_view *view = braid_error_get(error);
        CHECK_EQUAL(view->status, status);
        CHECK(field == NULL || strstr(view->message, field) != NULL);
    } else {
        CHECK(braid_result_import(result) != NULL);
        if (field != NULL) dump_check(host->dump, result);
    }
    braid_result_free(result);
    braid_error_free(error);
    return status;
}

/* The block in parts, its senders not given. */
static braid_block parts(const host *host) {
    braid_block block = dump_parts(host->dump);
    block.senders = NULL;
    block.senders_count = 0;
    return block;
}

void test_import_arguments(const host *host) {
    braid_request request = host->request;
    braid_result *result = NULL;
    CHECK_EQUAL(braid_import(NULL, &request, &result, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_import(host->executor, NULL, &result, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_import(host->executor, &request, NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK(result == NULL);
    request.flags = 1u << 30;
    CHECK_EQUAL(import(host, &request, "flag"), BRAID_INVALID_ARGUMENT);
    /* The caller's senders are not verified, so that they are not taken. */
    request = host->request;
    braid_block block = host->block;
    block.senders = host->dump->senders;
    block.senders_count = host->dump->transactions_count;
    request.block = &block;
    CHECK_EQUAL(import(host, &request, "senders"), BRAID_INVALID_ARGUMENT);
    block.senders_count = 0;
    CHECK_EQUAL(import(host, &request, "senders"), BRAID_INVALID_ARGUMENT);
    /* Only an import has what an import gives. */
    CHECK_EQUAL(braid_execute(host->executor, &host->request, &result, NULL), BRAID_OK);
    CHECK(braid_result_import(result) == NULL);
    CHECK(braid_result_import(NULL) == NULL);
    braid_result_free(result);
    CHECK_EQUAL(import(host, &host->request, NULL), BRAID_OK);
}

/* The header of one block, the body of another. */
void test_import_of_other_bodies(const host *host) {
    static const uint8_t NONE[] = {0xc0};
    braid_request request = host->request;
    braid_block block = parts(host);
    request.block = &block;
    CHECK_EQUAL(import(host, &request, NULL), BRAID_OK);
    block.transactions_count -= 1;
    CHECK_EQUAL(import(host, &request, "transactionsRoot"), BRAID_BODY_MISMATCH);
    block = parts(host);
    block.withdrawals_rlp.ptr = NONE;
    block.withdrawals_rlp.len = sizeof NONE;
    CHECK_EQUAL(import(host, &request, "withdrawalsRoot"), BRAID_BODY_MISMATCH);
    memset(&block.withdrawals_rlp, 0, sizeof block.withdrawals_rlp);
    CHECK_EQUAL(import(host, &request, "withdrawalsRoot"), BRAID_BODY_MISMATCH);
    block = parts(host);
    uint8_t ommers[OMMERS];
    block.ommers_rlp = host_ommers(host, ommers);
    CHECK_EQUAL(import(host, &request, "sha3Uncles"), BRAID_BODY_MISMATCH);
    /* An execution does not look at the body. */
    request.flags = BRAID_CHECK_HEADER;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
}

/* No byte of the body can change the block unseen, and of the header only what is not compared.
   How long a typed transaction is stands in the block twice; the decoder takes the inner one, so
   that with another outer one the block is the same. */
void test_import_of_flipped_bytes(const host *host) {
    braid_bytes whole = host->dump->rlp;
    uint8_t *bytes = malloc(whole.len);
    CHECK(bytes != NULL);
    memcpy(bytes, whole.ptr, whole.len);
    braid_block block = host->block;
    braid_request request = host->request;
    block.rlp.ptr = bytes;
    request.block = &block;
    /* The list's own head has 3 bytes. */
    uint64_t body = 3 + host->dump->header_rlp.len;
    uint64_t in_header = 0, in_body = 0;
    for (uint64_t at = 0; at < whole.len; at++) {
        bytes[at] ^= 1;
        int32_t status = import(host, &request, at < body ? NULL : "");
        CHECK(status == BRAID_OK || (status >= 200 && status < 500));
        in_header += status == BRAID_OK && at < body;
        in_body += status == BRAID_OK && at >= body;
        bytes[at] ^= 1;
    }
    /* The state root and the parent's hash among others. */
    CHECK(in_header >= 64 && in_header < body / 2);
    CHECK(in_body <= host->dump->transactions_count);
    CHECK_EQUAL(import(host, &request, NULL), BRAID_OK);
    free(bytes);
}

/* An import inside a read of an import. */
static int32_t import_again(failing *failing) {
    braid_result *result = NULL;
    const host *host = failing->host;
    failing->reentered = braid_import(host->executor, &host->request, &result, NULL);
    CHECK(result == NULL);
    return -77;
}

static int32_t refuse(void *user, const braid_commit *commit) {
    (void)user, (void)commit;
    return -5;
}

void test_import_failures(const host *host) {
    failing failing = {host->dump, host, 0, 1, import_again, 0};
    braid_reader reader = failing_reader(&failing);
    braid_request request = host->request;
    request.prestate = NULL;
    request.reader = &reader;
    CHECK_EQUAL(import(host, &request, "account"), BRAID_STATE_UNREADABLE);
    CHECK_EQUAL(failing.reentered, BRAID_REENTRANT);
    failing.reads = 0;
    failing.at = 1 << 30;
    CHECK_EQUAL(import(host, &request, NULL), BRAID_OK);

    request = host->request;
    request.commit = refuse;
    CHECK_EQUAL(import(host, &request, "commit"), BRAID_COMMIT_REFUSED);
    request = host->request;
    request.timeout_ns = 1;
    CHECK_EQUAL(import(host, &request, NULL), BRAID_TIMED_OUT);
    braid_cancel *cancel = NULL;
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    braid_cancel_trigger(cancel);
    request = host->request;
    request.cancel = cancel;
    CHECK_EQUAL(import(host, &request, NULL), BRAID_CANCELLED);
    braid_cancel_free(cancel);

    /* The header's results are compared without being asked for. */
    request = host->request;
    braid_prestate *state = dump_prestate(host->dump);
    for (uint64_t i = 0; i < host->dump->accounts_count; i++) {
        if (host->dump->accounts[i].slots_count == 0) continue;
        braid_slot slot = host->dump->accounts[i].slots[0];
        memset(&slot.value, 0, sizeof slot.value);
        const braid_address *of = &host->dump->accounts[i].address;
        CHECK_EQUAL(braid_prestate_storage(state, of, &slot, 1, NULL), BRAID_OK);
    }
    request.prestate = state;
    CHECK_EQUAL(import(host, &request, "gasUsed"), BRAID_HEADER_MISMATCH);
    braid_prestate_free(state);
}
