/* Readers that fail, stall, cancel, re-enter, and hosts that call at the same time. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "hostile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { FAILURE = -77 };

/* What a reader does at its k-th call. */
typedef struct trick {
    const host *host;
    atomic_int calls;
    int at;
    int answer;          /* Instead of the right answer, where it is not BRAID_FOUND. */
    int on;              /* Also at all later calls. */
    long stall_ns;
    const braid_cancel *cancel;
    const braid_request *reenter;
    braid_executor *free;
    atomic_int reentered;
    atomic_int inside, most;
} trick;

static int trick_turn(trick *trick) {
    int call = atomic_fetch_add(&trick->calls, 1) + 1;
    if (call != trick->at && !(trick->on && call > trick->at)) return BRAID_FOUND;
    if (trick->stall_ns > 0) {
        struct timespec pause = {0, trick->stall_ns};
        nanosleep(&pause, NULL);
    }
    braid_cancel_trigger(trick->cancel);
    if (trick->reenter != NULL) {
        braid_result *result = NULL;
        int32_t status = braid_execute(trick->host->executor, trick->reenter, &result, NULL);
        CHECK(result == NULL);
        atomic_store(&trick->reentered, status);
    }
    braid_executor_free(trick->free);
    return trick->answer;
}

static int32_t begin(trick *trick) {
    int inside = atomic_fetch_add(&trick->inside, 1) + 1;
    int most = atomic_load(&trick->most);
    while (inside > most && !atomic_compare_exchange_weak(&trick->most, &most, inside)) {
    }
    return trick_turn(trick);
}

static int32_t end(trick *trick, int32_t answer) {
    atomic_fetch_sub(&trick->inside, 1);
    return answer;
}

static int32_t account_of(void *user, const braid_address *address, braid_account *account) {
    trick *trick = user;
    int32_t answer = begin(trick);
    if (answer == BRAID_FOUND) answer = dump_account_of(trick->host->dump, address, account);
    return end(trick, answer);
}

static int32_t storage_of(void *user, const braid_address *address, const braid_u256 *key,
                          braid_u256 *value) {
    trick *trick = user;
    int32_t answer = begin(trick);
    if (answer == BRAID_FOUND) answer = dump_storage_of(trick->host->dump, address, key, value);
    return end(trick, answer);
}

static int32_t code_of(void *user, const braid_hash *hash, braid_code_sink *sink) {
    trick *trick = user;
    int32_t answer = begin(trick);
    if (answer == BRAID_FOUND) answer = dump_code_of(trick->host->dump, hash, sink);
    return end(trick, answer);
}

static int32_t block_hash_of(void *user, uint64_t number, braid_hash *hash) {
    trick *trick = user;
    int32_t answer = begin(trick);
    if (answer == BRAID_FOUND) answer = dump_block_hash_of(trick->host->dump, number, hash);
    return end(trick, answer);
}

static trick trick_new(const host *host) {
    trick trick;
    memset(&trick, 0, sizeof trick);
    trick.host = host;
    return trick;
}

static braid_reader trick_reader(trick *trick) {
    braid_reader reader;
    memset(&reader, 0, sizeof reader);
    reader.struct_size = sizeof reader;
    reader.user = trick;
    reader.account = account_of;
    reader.storage = storage_of;
    reader.code = code_of;
    reader.block_hash = block_hash_of;
    return reader;
}

static braid_request trick_request(const host *host, const braid_reader *reader) {
    braid_request request = host->request;
    request.prestate = NULL;
    request.reader = reader;
    return request;
}

/* The k-th call fails, for every k: once, and for good; also of a slow reader. A speculative read that fails once may be
   repeated, so the block may still be executed; it is never invalid. */
void test_failing_reads(const host *host) {
    for (int way = 0; way < 4; way++) {
        int on = way % 2, failed = 0;
        for (int k = 1;; k++) {
            trick trick = trick_new(host);
            trick.at = k;
            trick.on = on;
            trick.answer = FAILURE;
            braid_reader reader = trick_reader(&trick);
            reader.flags = way < 2 ? 0 : BRAID_READER_SLOW;
            braid_request request = trick_request(host, &reader);
            int64_t transaction;
            int32_t host_code;
            int32_t status = host_error(host, &request, &transaction, &host_code);
            int calls = atomic_load(&trick.calls);
            if (status == BRAID_OK) {
                if (calls < k) break;
                CHECK(!on);
            } else {
                CHECK_EQUAL(status, BRAID_STATE_UNREADABLE);
                CHECK_EQUAL(host_code, FAILURE);
                failed++;
            }
            host_usable(host);
        }
        CHECK(failed > (on ? 5 : 0));
    }
}

static int32_t code_never_put(void *user, const braid_hash *hash, braid_code_sink *sink) {
    (void)user, (void)hash, (void)sink;
    return BRAID_FOUND;
}

static int32_t code_absent(void *user, const braid_hash *hash, braid_code_sink *sink) {
    (void)user, (void)hash, (void)sink;
    return BRAID_ABSENT;
}

static int32_t code_twice(void *user, const braid_hash *hash, braid_code_sink *sink) {
    trick *trick = user;
    int32_t answer = dump_code_of(trick->host->dump, hash, sink);
    uint8_t other = 0;
    CHECK_EQUAL(braid_code_put(sink, &other, 1), BRAID_WRONG_STATE);
    CHECK_EQUAL(braid_code_put(sink, NULL, 1), BRAID_NULL_ARGUMENT);
    return answer;
}

static int32_t code_wrong(void *user, const braid_hash *hash, braid_code_sink *sink) {
    uint8_t other = 0;
    (void)user, (void)hash;
    return braid_code_put(sink, &other, 1);
}

static int32_t code_counted(void *user, const braid_hash *hash, braid_code_sink *sink) {
    trick *trick = user;
    atomic_fetch_add(&trick->reentered, 1);
    return dump_code_of(trick->host->dump, hash, sink);
}

void test_codes(const host *of) {
    /* An executor that has not seen the block's codes. */
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    struct host own = *of, *host = &own;
    CHECK_EQUAL(braid_executor_new(&options, &own.executor, NULL), BRAID_OK);
    trick trick = trick_new(host);
    braid_reader reader = trick_reader(&trick);
    braid_request request = trick_request(host, &reader);
    reader.code = code_wrong;
    CHECK_EQUAL(host_execute(host, &request), BRAID_STATE_UNREADABLE);
    reader.code = code_never_put;
    CHECK_EQUAL(host_execute(host, &request), BRAID_STATE_UNREADABLE);
    reader.code = code_absent;
    CHECK_EQUAL(host_execute(host, &request), BRAID_STATE_UNREADABLE);
    reader.code = code_twice;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    /* From now on the executor has it. */
    reader.code = code_counted;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    CHECK_EQUAL(atomic_load(&trick.reentered), 0);
    braid_executor_free(own.executor);
    CHECK_EQUAL(braid_executor_new(&options, &own.executor, NULL), BRAID_OK);
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    CHECK(atomic_load(&trick.reentered) > 0);
    braid_executor_free(own.executor);
}

void test_cancel(const host *host) {
    braid_cancel *cancel = NULL;
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    braid_request request = host->request;
    request.cancel = cancel;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    braid_cancel_trigger(cancel);
    CHECK_EQUAL(host_execute(host, &request), BRAID_CANCELLED);
    CHECK_EQUAL(host_execute(host, &request), BRAID_CANCELLED);
    braid_cancel_free(cancel);
    /* From a callback, at every call; after the last transaction it is too late. */
    int cancelled = 0;
    for (int k = 1;; k++) {
        trick trick = trick_new(host);
        CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
        trick.at = k;
        trick.cancel = cancel;
        braid_reader reader = trick_reader(&trick);
        reader.flags = k % 2 == 0 ? BRAID_READER_SLOW : 0;
        request = trick_request(host, &reader);
        request.cancel = cancel;
        int32_t status = host_execute(host, &request);
        CHECK(status == BRAID_OK || status == BRAID_CANCELLED);
        cancelled += status == BRAID_CANCELLED;
        braid_cancel_free(cancel);
        if (atomic_load(&trick.calls) < k) break;
    }
    CHECK(cancelled > 5);
}

void test_timeout(const host *host) {
    braid_request request = host->request;
    request.timeout_ns = 1;
    CHECK_EQUAL(host_execute(host, &request), BRAID_TIMED_OUT);
    request.timeout_ns = UINT64_MAX;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    trick trick = trick_new(host);
    trick.at = 1;
    trick.stall_ns = 300 * 1000 * 1000;
    braid_reader reader = trick_reader(&trick);
    request = trick_request(host, &reader);
    request.timeout_ns = 200 * 1000 * 1000;
    CHECK_EQUAL(host_execute(host, &request), BRAID_TIMED_OUT);
}

void test_reentry(const host *host) {
    trick trick = trick_new(host);
    trick.at = 3;
    trick.reenter = &host->request;
    braid_reader reader = trick_reader(&trick);
    braid_request request = trick_request(host, &reader);
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    CHECK_EQUAL(atomic_load(&trick.reentered), BRAID_REENTRANT);
}

void test_free_inside(const host *host) {
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    struct host other = *host;
    CHECK_EQUAL(braid_executor_new(&options, &other.executor, NULL), BRAID_OK);
    trick trick = trick_new(&other);
    trick.at = 2;
    trick.free = other.executor;
    braid_reader reader = trick_reader(&trick);
    braid_request request = trick_request(&other, &reader);
    CHECK_EQUAL(host_execute(&other, &request), BRAID_OK);
}

void test_serial(const host *host) {
    for (int round = 0; round < 20; round++) {
        trick trick = trick_new(host);
        trick.at = 1;
        trick.on = 1;
        trick.stall_ns = 1000;
        braid_reader reader = trick_reader(&trick);
        reader.flags = BRAID_READER_SERIAL;
        braid_request request = trick_request(host, &reader);
        CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
        CHECK_EQUAL(atomic_load(&trick.most), 1);
        CHECK_EQUAL(atomic_load(&trick.inside), 0);
    }
}

/* How many reads are under way at once, at most, for a block that an executor with eight threads
   takes as it likes. */
static int most_at_once(const host *of, uint32_t flags) {
    braid_executor_options options = {sizeof options, 8, 0, 0};
    struct host own = *of;
    CHECK_EQUAL(braid_executor_new(&options, &own.executor, NULL), BRAID_OK);
    trick trick = trick_new(&own);
    trick.at = 1;
    trick.on = 1;
    trick.stall_ns = 1000 * 1000;
    braid_reader reader = trick_reader(&trick);
    reader.flags = flags;
    braid_request request = trick_request(&own, &reader);
    CHECK_EQUAL(host_execute(&own, &request), BRAID_OK);
    braid_executor_free(own.executor);
    CHECK_EQUAL(atomic_load(&trick.inside), 0);
    return atomic_load(&trick.most);
}

/* The block is so small that one thread executes it, unless its reads take long. */
void test_slow(const host *host) {
    CHECK_EQUAL(most_at_once(host, 0), 1);
    CHECK(most_at_once(host, BRAID_READER_SLOW) > 1);
}

static void *execute_often(void *of) {
    const host *host = of;
    braid_request request = host->request;
    for (int round = 0; round < 20; round++) {
        CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    }
    return NULL;
}

void test_concurrent_calls(const host *host) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, execute_often, (void *)host) == 0);
    }
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* An executor of one's own for each thread, made and freed there. */
static void *own_executor(void *of) {
    host own = *(const host *)of;
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    for (int round = 0; round < 5; round++) {
        CHECK_EQUAL(braid_executor_new(&options, &own.executor, NULL), BRAID_OK);
        execute_often(&own);
        braid_executor_free(own.executor);
    }
    return NULL;
}

void test_many_executors(const host *host) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, own_executor, (void *)host) == 0);
    }
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* A reader that answers nothing until somebody cancels. */
typedef struct stall {
    const host *host;
    const braid_cancel *cancel;
    atomic_int waiting, cancelled;
} stall;

static int32_t stalled_account(void *user, const braid_address *address, braid_account *account) {
    stall *stall = user;
    atomic_store(&stall->waiting, 1);
    struct timespec pause = {0, 100 * 1000};
    while (!atomic_load(&stall->cancelled)) nanosleep(&pause, NULL);
    return dump_account_of(stall->host->dump, address, account);
}

static void *cancel_stalled(void *of) {
    stall *stall = of;
    struct timespec pause = {0, 100 * 1000};
    while (!atomic_load(&stall->waiting)) nanosleep(&pause, NULL);
    braid_cancel_trigger(stall->cancel);
    atomic_store(&stall->cancelled, 1);
    return NULL;
}

void test_stalled_and_cancelled(const host *host) {
    braid_cancel *cancel = NULL;
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    stall stall;
    memset(&stall, 0, sizeof stall);
    stall.host = host;
    stall.cancel = cancel;
    braid_reader reader = dump_reader(host->dump);
    reader.user = &stall;
    reader.account = stalled_account;
    /* The other callbacks are not reached before the cancellation. */
    braid_request request = host->request;
    request.prestate = NULL;
    request.reader = &reader;
    request.cancel = cancel;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel_stalled, &stall) == 0);
    CHECK_EQUAL(host_execute(host, &request), BRAID_CANCELLED);
    CHECK(pthread_join(thread, NULL) == 0);
    braid_cancel_free(cancel);
}
