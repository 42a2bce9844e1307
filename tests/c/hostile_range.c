/* Ranges that go wrong: arguments, order, blocks, answers, readers. */

#include "check.h"
#include "hostile.h"

#include <stddef.h>
#include <string.h>

enum { REFUSAL = -19 };

/* A range over the line of blocks, and what `each` does at its k-th call. */
typedef struct range {
    const host *host;
    braid_prestate *state;
    braid_block blocks[LINE];
    const braid_block *pointers[LINE];
    braid_range_request request;
    int calls, at;
    int32_t answer;
    const braid_cancel *cancel;
    braid_executor *free;
    int reenter;
    int32_t reentered[2];
} range;

static int32_t on_block(void *user, uint64_t index, braid_result *result) {
    range *range = user;
    CHECK_EQUAL(index, range->calls);
    range->calls++;
    dump_check(range->host->line[index], result);
    braid_result_free(result);
    if (range->calls != range->at) return BRAID_OK;
    braid_cancel_trigger(range->cancel);
    if (range->reenter) {
        braid_result *made = NULL;
        const braid_executor *executor = range->host->executor;
        range->reentered[0] = braid_execute(executor, &range->host->request, &made, NULL);
        range->reentered[1] = braid_execute_range(executor, &range->request, NULL);
        CHECK(made == NULL);
    }
    braid_executor_free(range->free);
    return range->answer;
}

static void open_range(const host *host, range *range) {
    memset(range, 0, sizeof *range);
    range->host = host;
    range->state = dump_prestate(host->line[0]);
    for (int i = 0; i < LINE; i++) {
        range->blocks[i] = dump_parts(host->line[i]);
        range->pointers[i] = &range->blocks[i];
    }
    range->request.struct_size = sizeof range->request;
    range->request.chain = host->chain;
    range->request.blocks = range->pointers;
    range->request.blocks_count = LINE;
    range->request.prestate = range->state;
    range->request.each = on_block;
    range->request.each_user = range;
}

static void close_range(range *range) {
    braid_prestate_free(range->state);
}

/* Executes the range; gives the status, and checks that the error object agrees with it. `block` is
   the one that the error must be about, or -1. */
static int32_t execute(range *range, int64_t block) {
    range->calls = 0;
    braid_error *error = NULL;
    const braid_executor *executor = range->host->executor;
    int32_t status = braid_execute_range(executor, &range->request, &error);
    CHECK((status == BRAID_OK) == (error == NULL));
    CHECK(strcmp(braid_status_name(status), "UNKNOWN") != 0);
    CHECK_EQUAL(braid_error_block(error), block);
    if (error != NULL) {
        const braid_error_view *view = braid_error_get(error);
        CHECK_EQUAL(view->status, status);
        char text[32];
        snprintf(text, sizeof text, "block %d of the range", (int)block);
        CHECK((strstr(view->message, text) != NULL) == (block >= 0));
    }
    braid_error_free(error);
    return status;
}

static void good(range *range) {
    range->at = 0;
    CHECK_EQUAL(execute(range, -1), BRAID_OK);
    CHECK_EQUAL(range->calls, LINE);
}

void test_range_arguments(const host *host) {
    range range;
    open_range(host, &range);
    good(&range);
    braid_range_request request = range.request;
    CHECK_EQUAL(braid_execute_range(NULL, &request, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_execute_range(host->executor, NULL, NULL), BRAID_NULL_ARGUMENT);
    CHECK_EQUAL(braid_error_block(NULL), -1);
    range.request.each = NULL;
    CHECK_EQUAL(execute(&range, -1), BRAID_NULL_ARGUMENT);
    range.request = request;
    range.request.chain = NULL;
    CHECK_EQUAL(execute(&range, -1), BRAID_NULL_ARGUMENT);
    range.request = request;
    range.request.blocks = NULL;
    CHECK_EQUAL(execute(&range, -1), BRAID_NULL_ARGUMENT);
    range.request.blocks_count = 0;
    CHECK_EQUAL(execute(&range, -1), BRAID_OK);
    CHECK_EQUAL(range.calls, 0);
    range.request = request;
    range.request.blocks_count = UINT64_MAX / 2;
    CHECK_EQUAL(execute(&range, -1), BRAID_INVALID_ARGUMENT);
    range.request = request;
    range.request.prestate = NULL;
    CHECK_EQUAL(execute(&range, -1), BRAID_NULL_ARGUMENT);
    braid_reader reader = dump_reader(host->line[0]);
    range.request.reader = &reader;
    range.request.prestate = range.state;
    CHECK_EQUAL(execute(&range, -1), BRAID_INVALID_ARGUMENT);
    range.request = request;
    range.request.flags = 1u << 28;
    CHECK_EQUAL(execute(&range, -1), BRAID_INVALID_ARGUMENT);
    range.request = request;
    range.pointers[2] = NULL;
    CHECK_EQUAL(execute(&range, 2), BRAID_NULL_ARGUMENT);
    range.pointers[2] = &range.blocks[2];
    range.blocks[1].struct_size = 4;
    CHECK_EQUAL(execute(&range, 1), BRAID_STRUCT_SIZE);
    range.blocks[1].struct_size = sizeof range.blocks[1];
    /* Of an earlier version, of a later one. */
    for (uint32_t size = 0; size < sizeof request; size++) {
        range.request.struct_size = size;
        CHECK_EQUAL(execute(&range, -1), BRAID_STRUCT_SIZE);
    }
    struct {
        braid_range_request request;
        uint64_t later;
    } longer = {request, 0};
    longer.request.struct_size = offsetof(__typeof__(longer), later) + sizeof longer.later;
    range.calls = 0;
    CHECK_EQUAL(braid_execute_range(host->executor, &longer.request, NULL), BRAID_OK);
    CHECK_EQUAL(range.calls, LINE);
    longer.later = 1;
    CHECK_EQUAL(braid_execute_range(host->executor, &longer.request, NULL), BRAID_STRUCT_SIZE);
    range.request = request;
    good(&range);
    close_range(&range);
}

void test_range_of_bad_blocks(const host *host) {
    range range;
    open_range(host, &range);
    for (int bad = 0; bad < LINE; bad++) {
        braid_block block = range.blocks[bad];
        /* A sender who has nothing: the blocks before this one come, and none after it. */
        braid_address senders[64];
        CHECK(block.senders_count <= 64);
        memcpy(senders, block.senders, block.senders_count * sizeof *senders);
        memset(&senders[3], 0xee, sizeof senders[3]);
        range.blocks[bad].senders = senders;
        CHECK_EQUAL(execute(&range, bad), BRAID_INVALID_TRANSACTION);
        CHECK_EQUAL(range.calls, bad);
        range.blocks[bad] = block;
        /* What cannot be decoded is found before any is executed. */
        range.blocks[bad].header_rlp.len -= 1;
        CHECK_EQUAL(execute(&range, bad), BRAID_BAD_BLOCK_RLP);
        CHECK_EQUAL(range.calls, 0);
        range.blocks[bad] = block;
        /* A block twice. */
        if (bad == 0) continue;
        range.pointers[bad] = &range.blocks[bad - 1];
        CHECK_EQUAL(execute(&range, bad), BRAID_BROKEN_RANGE);
        CHECK_EQUAL(range.calls, bad);
        range.pointers[bad] = &range.blocks[bad];
    }
    /* The last header has another receipts root, which only a check sees. */
    enum { RECEIPTS_ROOT = 3 + 33 + 33 + 21 + 33 + 33 + 1 };
    braid_bytes whole = range.blocks[LINE - 1].header_rlp;
    uint8_t header[2048];
    CHECK(whole.len <= sizeof header);
    memcpy(header, whole.ptr, whole.len);
    CHECK(memcmp(header + RECEIPTS_ROOT, host->line[LINE - 1]->receipts_root.bytes, 32) == 0);
    header[RECEIPTS_ROOT] ^= 1;
    range.blocks[LINE - 1].header_rlp.ptr = header;
    good(&range);
    range.request.flags = BRAID_CHECK_HEADER;
    CHECK_EQUAL(execute(&range, LINE - 1), BRAID_HEADER_MISMATCH);
    CHECK_EQUAL(range.calls, LINE - 1);
    range.blocks[LINE - 1].header_rlp = whole;
    good(&range);
    close_range(&range);
}

void test_range_answers(const host *host) {
    range range;
    open_range(host, &range);
    for (int k = 1; k <= LINE; k++) {
        range.at = k;
        range.answer = REFUSAL;
        CHECK_EQUAL(execute(&range, k - 1), BRAID_BLOCK_REFUSED);
        CHECK_EQUAL(range.calls, k);
        braid_error *error = NULL;
        range.calls = 0;
        CHECK_EQUAL(braid_execute_range(host->executor, &range.request, &error),
                    BRAID_BLOCK_REFUSED);
        CHECK_EQUAL(braid_error_get(error)->host_code, REFUSAL);
        braid_error_free(error);
        range.answer = BRAID_RANGE_STOP;
        CHECK_EQUAL(execute(&range, -1), BRAID_OK);
        CHECK_EQUAL(range.calls, k);
    }
    good(&range);
    close_range(&range);
}

static int32_t refuse_read(failing *failing) {
    (void)failing;
    return REFUSAL;
}

void test_range_failures(const host *host) {
    range range;
    open_range(host, &range);
    failing failing = {host->line[0], host, 0, 0, refuse_read, 0};
    braid_reader reader = failing_reader(&failing);
    range.request.prestate = NULL;
    range.request.reader = &reader;
    int failures = 0;
    for (failing.at = 1;; failing.at++) {
        failing.reads = 0;
        range.calls = 0;
        braid_error *error = NULL;
        int32_t status = braid_execute_range(host->executor, &range.request, &error);
        if (status != BRAID_OK) {
            failures++;
            CHECK_EQUAL(status, BRAID_STATE_UNREADABLE);
            CHECK_EQUAL(braid_error_get(error)->host_code, REFUSAL);
            /* Of the blocks before the failure each one came. */
            CHECK_EQUAL(braid_error_block(error), range.calls);
            braid_error_free(error);
        } else {
            CHECK_EQUAL(range.calls, LINE);
        }
        if (failing.reads < failing.at) break;
    }
    CHECK(failures > 5);
    range.request.reader = NULL;
    range.request.prestate = range.state;
    range.request.timeout_ns = 1;
    CHECK_EQUAL(execute(&range, 0), BRAID_TIMED_OUT);
    CHECK_EQUAL(range.calls, 0);
    range.request.timeout_ns = 0;
    good(&range);
    close_range(&range);
}

void test_range_tricks(const host *host) {
    range range;
    open_range(host, &range);
    range.at = 2;
    range.reenter = 1;
    CHECK_EQUAL(execute(&range, -1), BRAID_OK);
    CHECK_EQUAL(range.calls, LINE);
    CHECK_EQUAL(range.reentered[0], BRAID_REENTRANT);
    CHECK_EQUAL(range.reentered[1], BRAID_REENTRANT);
    range.reenter = 0;
    /* Cancelled while a block is given: that one is the last, unless others were done by then. */
    braid_cancel *cancel = NULL;
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    range.cancel = cancel;
    range.request.cancel = cancel;
    range.at = 1;
    braid_error *error = NULL;
    range.calls = 0;
    int32_t status = braid_execute_range(host->executor, &range.request, &error);
    CHECK(status == BRAID_CANCELLED || (status == BRAID_OK && range.calls == LINE));
    CHECK(status == BRAID_OK || braid_error_block(error) == range.calls);
    braid_error_free(error);
    range.calls = 0;
    CHECK_EQUAL(execute(&range, 0), BRAID_CANCELLED);
    CHECK_EQUAL(range.calls, 0);
    braid_cancel_free(cancel);
    range.cancel = NULL;
    range.request.cancel = NULL;
    good(&range);
    /* The executor is freed by the callback: its threads end after the range. */
    struct host other = *host;
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    CHECK_EQUAL(braid_executor_new(&options, &other.executor, NULL), BRAID_OK);
    range.host = &other;
    range.free = other.executor;
    range.at = 2;
    CHECK_EQUAL(execute(&range, -1), BRAID_OK);
    CHECK_EQUAL(range.calls, LINE);
    close_range(&range);
}
