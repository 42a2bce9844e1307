/* A hostile host: every mistake gives a typed status, and the executor stays usable. The first
   argument is a small dumped block, with the line of blocks beside it, the second one, if any, a
   number of rounds of starting and ending executors. */

#include "hostile.h"

#include "check.h"

#include <string.h>

int32_t host_error(const host *host, const braid_request *request, int64_t *transaction,
                   int32_t *host_code) {
    braid_result *result = NULL;
    braid_error *error = NULL;
    int32_t status = braid_execute(host->executor, request, &result, &error);
    CHECK((status == BRAID_OK) == (result != NULL));
    CHECK((status == BRAID_OK) == (error == NULL));
    CHECK(strcmp(braid_status_name(status), "UNKNOWN") != 0);
    *transaction = -1;
    *host_code = 0;
    if (error != NULL) {
        const braid_error_view *view = braid_error_get(error);
        CHECK(view->struct_size >= sizeof *view);
        CHECK_EQUAL(view->status, status);
        CHECK(view->message_len > 0 && strlen(view->message) == view->message_len);
        *transaction = view->transaction;
        *host_code = view->host_code;
        /* Without an error object the status is the same one. */
        if (status < 400) {
            CHECK_EQUAL(braid_execute(host->executor, request, &result, NULL), status);
        }
    } else {
        dump_check(host->dump, result);
    }
    braid_error_free(error);
    braid_result_free(result);
    return status;
}

int32_t host_execute(const host *host, const braid_request *request) {
    int64_t transaction;
    int32_t host_code;
    return host_error(host, request, &transaction, &host_code);
}

void host_usable(const host *host) {
    CHECK_EQUAL(host_execute(host, &host->request), BRAID_OK);
}

braid_bytes host_ommers(const host *host, uint8_t list[OMMERS]) {
    braid_bytes header = host->dump->header_rlp;
    CHECK(header.len > 255 && header.len < OMMERS - 3);
    list[0] = 0xf9;
    list[1] = (uint8_t)(header.len >> 8);
    list[2] = (uint8_t)header.len;
    memcpy(list + 3, header.ptr, header.len);
    return (braid_bytes){list, header.len + 3};
}

static int32_t failing_account(void *user, const braid_address *address, braid_account *account) {
    failing *failing = user;
    if (++failing->reads >= failing->at) return failing->fail(failing);
    return dump_account_of(failing->dump, address, account);
}

static int32_t other_storage(void *user, const braid_address *address, const braid_u256 *key,
                             braid_u256 *value) {
    return dump_storage_of(((failing *)user)->dump, address, key, value);
}

static int32_t other_code(void *user, const braid_hash *hash, braid_code_sink *sink) {
    return dump_code_of(((failing *)user)->dump, hash, sink);
}

static int32_t other_block_hash(void *user, uint64_t number, braid_hash *hash) {
    return dump_block_hash_of(((failing *)user)->dump, number, hash);
}

braid_reader failing_reader(failing *failing) {
    braid_reader reader = dump_reader(failing->dump);
    reader.flags = BRAID_READER_SERIAL;
    reader.user = failing;
    reader.account = failing_account;
    reader.storage = other_storage;
    reader.code = other_code;
    reader.block_hash = other_block_hash;
    return reader;
}

/* The blocks lie beside the small one. */
static void read_line(host *host, const char *path) {
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 0 : (int)(slash + 1 - path);
    for (int i = 0; i < LINE; i++) {
        char name[4096];
        CHECK(snprintf(name, sizeof name, "%.*sline-%d.block", length, path, i) < 4096);
        host->line[i] = dump_read(name);
    }
}

static host open_host(const char *path, uint32_t threads) {
    host host;
    memset(&host, 0, sizeof host);
    host.dump = dump_read(path);
    host.chain = dump_chain(host.dump);
    braid_executor_options options = {sizeof options, threads, BRAID_EXECUTOR_FORCED, 0};
    CHECK_EQUAL(braid_executor_new(&options, &host.executor, NULL), BRAID_OK);
    host.state = dump_prestate(host.dump);
    host.block = dump_whole(host.dump);
    host.reader = dump_reader(host.dump);
    read_line(&host, path);
    return host;
}

static void close_host(host *host) {
    braid_prestate_free(host->state);
    braid_executor_free(host->executor);
    braid_chain_free(host->chain);
    dump_free(host->dump);
    for (int i = 0; i < LINE; i++) dump_free(host->line[i]);
}

/* Threads and memory do not pile up; a tool that counts them sees it. */
static void churn(const char *path, int rounds) {
    for (int i = 0; i < rounds; i++) {
        host host = open_host(path, 1 + (uint32_t)i % 4);
        host.request.struct_size = sizeof host.request;
        host.request.chain = host.chain;
        host.request.block = &host.block;
        host.request.prestate = host.state;
        if (i % 2 == 0) host_usable(&host);
        close_host(&host);
    }
}

static const struct {
    const char *name;
    void (*run)(const host *host);
} TESTS[] = {
    {"NULL pointers", test_null_pointers},
    {"struct sizes", test_struct_sizes},
    {"arguments", test_arguments},
    {"undecodable parts", test_undecodable_parts},
    {"chains", test_chains},
    {"truncation", test_truncation},
    {"truncated parts", test_truncated_parts},
    {"flipped bytes", test_flipped_bytes},
    {"broken configs", test_broken_configs},
    {"invalid blocks", test_invalid_blocks},
    {"failing reads", test_failing_reads},
    {"codes", test_codes},
    {"cancel", test_cancel},
    {"timeout", test_timeout},
    {"reentry", test_reentry},
    {"free inside a callback", test_free_inside},
    {"serial reader", test_serial},
    {"slow reader", test_slow},
    {"concurrent calls", test_concurrent_calls},
    {"many executors", test_many_executors},
    {"stalled and cancelled", test_stalled_and_cancelled},
    {"refused commits", test_refused_commits},
    {"commit tricks", test_commit_tricks},
    {"commits of invalid blocks", test_commits_of_invalid_blocks},
    {"batches", test_batches},
    {"import, arguments", test_import_arguments},
    {"import, other bodies", test_import_of_other_bodies},
    {"import, flipped bytes", test_import_of_flipped_bytes},
    {"import, failures", test_import_failures},
    {"access list, arguments", test_list_arguments},
    {"access list, differences", test_list_differences},
    {"access list, flipped bytes", test_list_of_flipped_bytes},
    {"access list, failures", test_list_failures},
    {"range, arguments", test_range_arguments},
    {"range, bad blocks", test_range_of_bad_blocks},
    {"range, answers", test_range_answers},
    {"range, failures", test_range_failures},
    {"range, tricks", test_range_tricks},
};

int main(int count, char **arguments) {
    CHECK(count >= 2);
    static const uint32_t THREADS[] = {1, 2, 4};
    for (size_t t = 0; t < sizeof THREADS / sizeof *THREADS; t++) {
        host host = open_host(arguments[1], THREADS[t]);
        host.request.struct_size = sizeof host.request;
        host.request.chain = host.chain;
        host.request.block = &host.block;
        host.request.prestate = host.state;
        host_usable(&host);
        for (size_t i = 0; i < sizeof TESTS / sizeof *TESTS; i++) {
            TESTS[i].run(&host);
            host_usable(&host);
            printf("%" PRIu32 " threads: %s: ok\n", THREADS[t], TESTS[i].name);
        }
        close_host(&host);
    }
    churn(arguments[1], count > 2 ? atoi(arguments[2]) : 50);
    printf("executors come and go: ok\n");
    return 0;
}
