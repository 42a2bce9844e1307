/* Commit callbacks and batches that refuse, stall, cancel, re-enter. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "hostile.h"

#include <string.h>
#include <time.h>

enum { REFUSAL = -55 };

/* What the commit callback does at its k-th call. */
typedef struct commits {
    const host *host;
    int calls, at, answer;
    uint64_t transactions;
    const braid_cancel *cancel;
    long stall_ns;
    int reenter;
    int32_t reentered;
    braid_executor *free;
} commits;

static int32_t on_commit(void *user, const braid_commit *commit) {
    commits *commits = user;
    commits->calls++;
    CHECK(commits->answer == BRAID_OK || commits->calls <= commits->at);
    if (commit->step == BRAID_STEP_TRANSACTION) commits->transactions++;
    if (commits->calls != commits->at) return BRAID_OK;
    braid_cancel_trigger(commits->cancel);
    if (commits->stall_ns > 0) {
        struct timespec pause = {0, commits->stall_ns};
        nanosleep(&pause, NULL);
    }
    if (commits->reenter) {
        braid_result *result = NULL;
        const braid_request *request = &commits->host->request;
        commits->reentered = braid_execute(commits->host->executor, request, &result, NULL);
        CHECK(result == NULL);
    }
    braid_executor_free(commits->free);
    return commits->answer;
}

static commits commits_at(const host *host, int at) {
    commits commits;
    memset(&commits, 0, sizeof commits);
    commits.host = host;
    commits.at = at;
    return commits;
}

static braid_request with_commits(const host *host, commits *commits) {
    braid_request request = host->request;
    request.commit = on_commit;
    request.commit_user = commits;
    return request;
}

/* The k-th step is refused, for every k. */
void test_refused_commits(const host *host) {
    for (int k = 1;; k++) {
        commits commits = commits_at(host, k);
        commits.answer = REFUSAL;
        braid_request request = with_commits(host, &commits);
        int64_t transaction;
        int32_t host_code;
        int32_t status = host_error(host, &request, &transaction, &host_code);
        if (commits.calls < k) {
            CHECK_EQUAL(status, BRAID_OK);
            CHECK(k > 6);
            return;
        }
        CHECK_EQUAL(status, BRAID_COMMIT_REFUSED);
        CHECK_EQUAL(host_code, REFUSAL);
        CHECK_EQUAL(commits.calls, k);
        host_usable(host);
    }
}

void test_commit_tricks(const host *host) {
    commits commits = commits_at(host, 2);
    commits.reenter = 1;
    braid_request request = with_commits(host, &commits);
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    CHECK_EQUAL(commits.reentered, BRAID_REENTRANT);
    CHECK_EQUAL(commits.transactions, host->dump->transactions_count);

    braid_cancel *cancel = NULL;
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    commits = commits_at(host, 2);
    commits.cancel = cancel;
    request.cancel = cancel;
    CHECK_EQUAL(host_execute(host, &request), BRAID_CANCELLED);
    braid_cancel_free(cancel);

    commits = commits_at(host, 2);
    commits.stall_ns = 300 * 1000 * 1000;
    request.cancel = NULL;
    request.timeout_ns = 200 * 1000 * 1000;
    CHECK_EQUAL(host_execute(host, &request), BRAID_TIMED_OUT);

    struct host other = *host;
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    CHECK_EQUAL(braid_executor_new(&options, &other.executor, NULL), BRAID_OK);
    commits = commits_at(&other, 2);
    commits.free = other.executor;
    request = with_commits(&other, &commits);
    braid_result *result = NULL;
    CHECK_EQUAL(braid_execute(other.executor, &request, &result, NULL), BRAID_OK);
    dump_check(host->dump, result);
    braid_result_free(result);
}

/* The steps before the failure come, and none after it. */
void test_commits_of_invalid_blocks(const host *host) {
    const dump *dump = host->dump;
    for (uint64_t bad = 0; bad < dump->transactions_count; bad++) {
        braid_block block = dump_parts(dump);
        braid_address senders[64];
        CHECK(dump->transactions_count <= 64);
        memcpy(senders, dump->senders, dump->transactions_count * sizeof *senders);
        memset(&senders[bad], 0xee, sizeof senders[bad]);
        block.senders = senders;
        commits commits = commits_at(host, 0);
        braid_request request = with_commits(host, &commits);
        request.block = &block;
        braid_result *result = NULL;
        braid_error *error = NULL;
        int32_t status = braid_execute(host->executor, &request, &result, &error);
        CHECK_EQUAL(status, BRAID_INVALID_TRANSACTION);
        CHECK_EQUAL(braid_error_get(error)->transaction, bad);
        CHECK_EQUAL(commits.transactions, bad);
        braid_error_free(error);
    }
}

static int batch_calls;
static const host *batch_host;

static int32_t failing_prefetch(void *user, const braid_key *keys, uint64_t count) {
    (void)user, (void)keys;
    CHECK(count > 0);
    return REFUSAL;
}

static int32_t failing_read_many(void *user, const braid_key *keys, uint64_t count,
                                 braid_answer *answers) {
    (void)user, (void)keys, (void)answers;
    CHECK(count > 0);
    return REFUSAL;
}

/* Statuses that are none: the keys are asked for singly. */
static int32_t confused_read_many(void *user, const braid_key *keys, uint64_t count,
                                  braid_answer *answers) {
    (void)user, (void)keys;
    for (uint64_t i = 0; i < count; i++) {
        answers[i].status = i % 2 == 0 ? INT32_MIN : 77;
        memset(&answers[i].account, 0xaa, sizeof answers[i].account);
        memset(&answers[i].value, 0xaa, sizeof answers[i].value);
    }
    return BRAID_OK;
}

static int32_t reentering_read_many(void *user, const braid_key *keys, uint64_t count,
                                    braid_answer *answers) {
    (void)user, (void)keys, (void)count, (void)answers;
    braid_result *result = NULL;
    const braid_request *request = &batch_host->request;
    batch_calls++;
    CHECK_EQUAL(braid_execute(batch_host->executor, request, &result, NULL), BRAID_REENTRANT);
    return BRAID_OK;
}

void test_batches(const host *host) {
    braid_reader reader = dump_reader(host->dump);
    braid_request request = host->request;
    int64_t transaction;
    int32_t host_code;
    request.prestate = NULL;
    request.reader = &reader;
    reader.prefetch = failing_prefetch;
    reader.read_many = dump_read_many;
    CHECK_EQUAL(host_error(host, &request, &transaction, &host_code), BRAID_STATE_UNREADABLE);
    CHECK_EQUAL(host_code, REFUSAL);
    reader.prefetch = dump_prefetch;
    reader.read_many = failing_read_many;
    CHECK_EQUAL(host_error(host, &request, &transaction, &host_code), BRAID_STATE_UNREADABLE);
    CHECK_EQUAL(host_code, REFUSAL);
    reader.read_many = confused_read_many;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    batch_host = host;
    batch_calls = 0;
    reader.read_many = reentering_read_many;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    CHECK_EQUAL(batch_calls, 1);
    reader.read_many = dump_read_many;
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
}
