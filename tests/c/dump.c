#include "dump.h"

#include "check.h"

#include <string.h>

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
} cursor;

static const uint8_t *take(cursor *from, uint64_t len) {
    CHECK(len <= (uint64_t)(from->end - from->at));
    const uint8_t *at = from->at;
    from->at += len;
    return at;
}

static uint64_t take_number(cursor *from) {
    const uint8_t *bytes = take(from, 8);
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--) number = number << 8 | bytes[i];
    return number;
}

static braid_bytes take_bytes(cursor *from) {
    braid_bytes bytes;
    bytes.len = take_number(from);
    bytes.ptr = take(from, bytes.len);
    if (bytes.len == 0) bytes.ptr = NULL;
    return bytes;
}

/* At least one element, so that no allocation is NULL. */
static void *array(uint64_t count, size_t size) {
    void *memory = calloc((size_t)count + 1, size);
    CHECK(memory != NULL);
    return memory;
}

static cursor open_file(const char *path, uint8_t **memory) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size > 0 && fseek(file, 0, SEEK_SET) == 0);
    *memory = array((uint64_t)size, 1);
    CHECK(fread(*memory, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    cursor from = {*memory, *memory + size};
    return from;
}

static void read_state(dump *into, cursor *from) {
    into->accounts_count = take_number(from);
    into->accounts = array(into->accounts_count, sizeof *into->accounts);
    for (uint64_t i = 0; i < into->accounts_count; i++) {
        dump_account *to = &into->accounts[i];
        memcpy(to->address.bytes, take(from, 20), 20);
        to->account.nonce = take_number(from);
        memcpy(to->account.balance.bytes, take(from, 32), 32);
        memcpy(to->account.code_hash.bytes, take(from, 32), 32);
        to->slots_count = take_number(from);
        CHECK(to->slots_count < UINT64_MAX / sizeof(braid_slot));
        to->slots = (const braid_slot *)take(from, to->slots_count * sizeof(braid_slot));
    }
    into->codes_count = take_number(from);
    into->codes = array(into->codes_count, sizeof *into->codes);
    for (uint64_t i = 0; i < into->codes_count; i++) {
        memcpy(into->codes[i].hash.bytes, take(from, 32), 32);
        into->codes[i].bytes = take_bytes(from);
    }
    into->hashes_count = take_number(from);
    into->hashes = array(into->hashes_count, sizeof *into->hashes);
    for (uint64_t i = 0; i < into->hashes_count; i++) {
        into->hashes[i].number = take_number(from);
        memcpy(into->hashes[i].hash.bytes, take(from, 32), 32);
    }
}

static void read_expected(dump *into, braid_bytes expected) {
    cursor from = {expected.ptr, expected.ptr + expected.len};
    into->gas_used = take_number(&from);
    into->has_status = take_number(&from);
    memcpy(into->receipts_root.bytes, take(&from, 32), 32);
    memcpy(into->logs_bloom.bytes, take(&from, 256), 256);
    into->digest = take_number(&from);
    into->has_requests = take_number(&from);
    memcpy(into->requests_hash.bytes, take(&from, 32), 32);
    into->requests_count = take_number(&from);
    into->requests = array(into->requests_count, sizeof *into->requests);
    for (uint64_t i = 0; i < into->requests_count; i++) into->requests[i] = take_bytes(&from);
    into->access_list = take_bytes(&from);
    into->produced_list = take_bytes(&from);
    into->has_body = take_number(&from);
    CHECK(from.at == from.end);
}

dump *dump_read(const char *path) {
    dump *into = array(1, sizeof *into);
    cursor from = open_file(path, &into->file);
    CHECK(memcmp(take(&from, 8), "BRAIDBK1", 8) == 0);
    into->chain = take_bytes(&from);
    braid_bytes expected = take_bytes(&from);
    read_expected(into, expected);
    into->rlp = take_bytes(&from);
    into->header_rlp = take_bytes(&from);
    into->ommers_rlp = take_bytes(&from);
    into->withdrawals_rlp = take_bytes(&from);
    into->transactions_count = take_number(&from);
    into->senders = array(into->transactions_count, sizeof *into->senders);
    into->transactions = array(into->transactions_count, sizeof *into->transactions);
    for (uint64_t i = 0; i < into->transactions_count; i++) {
        memcpy(into->senders[i].bytes, take(&from, 20), 20);
        into->transactions[i] = take_bytes(&from);
    }
    read_state(into, &from);
    CHECK(from.at == from.end);
    return into;
}

void dump_free(dump *dump) {
    free(dump->requests);
    free(dump->senders);
    free(dump->transactions);
    free(dump->accounts);
    free(dump->codes);
    free(dump->hashes);
    free(dump->file);
    free(dump);
}

braid_chain *dump_chain(const dump *dump) {
    braid_chain *chain = NULL;
    char name[32] = {0};
    CHECK(dump->chain.len > 0);
    if (dump->chain.ptr[0] == '{') {
        size_t len = (size_t)dump->chain.len;
        CHECK_EQUAL(braid_chain_from_config(dump->chain.ptr, len, &chain, NULL), BRAID_OK);
        return chain;
    }
    CHECK(dump->chain.len < sizeof name);
    memcpy(name, dump->chain.ptr, dump->chain.len);
    CHECK_EQUAL(braid_chain_by_name(name, &chain, NULL), BRAID_OK);
    return chain;
}

braid_block dump_whole(const dump *dump) {
    braid_block block;
    memset(&block, 0, sizeof block);
    block.struct_size = sizeof block;
    block.rlp = dump->rlp;
    return block;
}

braid_block dump_parts(const dump *dump) {
    braid_block block;
    memset(&block, 0, sizeof block);
    block.struct_size = sizeof block;
    block.header_rlp = dump->header_rlp;
    block.ommers_rlp = dump->ommers_rlp;
    block.withdrawals_rlp = dump->withdrawals_rlp;
    block.transactions = dump->transactions;
    block.transactions_count = dump->transactions_count;
    block.senders = dump->senders;
    block.senders_count = dump->transactions_count;
    return block;
}

braid_prestate *dump_prestate(const dump *dump) {
    braid_prestate *state = NULL;
    CHECK_EQUAL(braid_prestate_new(&state, NULL), BRAID_OK);
    for (uint64_t i = 0; i < dump->accounts_count; i++) {
        const dump_account *from = &dump->accounts[i];
        CHECK_EQUAL(braid_prestate_account(state, &from->address, &from->account, NULL), BRAID_OK);
        int32_t status = braid_prestate_storage(state, &from->address, from->slots,
                                                (size_t)from->slots_count, NULL);
        CHECK_EQUAL(status, BRAID_OK);
    }
    for (uint64_t i = 0; i < dump->codes_count; i++) {
        const dump_code *from = &dump->codes[i];
        braid_hash hash;
        int32_t status = braid_prestate_code(state, from->bytes.ptr, (size_t)from->bytes.len,
                                             &hash, NULL);
        CHECK_EQUAL(status, BRAID_OK);
        CHECK(memcmp(&hash, &from->hash, sizeof hash) == 0);
    }
    for (uint64_t i = 0; i < dump->hashes_count; i++) {
        const dump_block_hash *from = &dump->hashes[i];
        CHECK_EQUAL(braid_prestate_block_hash(state, from->number, &from->hash, NULL), BRAID_OK);
    }
    return state;
}

braid_reader dump_reader(const dump *dump) {
    braid_reader reader;
    memset(&reader, 0, sizeof reader);
    reader.struct_size = sizeof reader;
    reader.user = (void *)dump;
    reader.account = dump_account_of;
    reader.storage = dump_storage_of;
    reader.code = dump_code_of;
    reader.block_hash = dump_block_hash_of;
    return reader;
}

/* Every element that is looked for opens with its key. */
static const void *find(const void *key, size_t key_size, const void *in, uint64_t count,
                        size_t size) {
    const uint8_t *low = in;
    while (count > 0) {
        const uint8_t *middle = low + count / 2 * size;
        int order = memcmp(key, middle, key_size);
        if (order == 0) return middle;
        if (order > 0) {
            low = middle + size;
            count -= 1;
        }
        count /= 2;
    }
    return NULL;
}

static const dump_account *find_account(const dump *dump, const braid_address *address) {
    return find(address, 20, dump->accounts, dump->accounts_count, sizeof *dump->accounts);
}

int32_t dump_account_of(void *user, const braid_address *address, braid_account *account) {
    const dump_account *found = find_account(user, address);
    if (found == NULL) return BRAID_ABSENT;
    *account = found->account;
    return BRAID_FOUND;
}

int32_t dump_storage_of(void *user, const braid_address *address, const braid_u256 *key,
                        braid_u256 *value) {
    const dump_account *account = find_account(user, address);
    if (account == NULL) return -1;
    const braid_slot *slot =
        find(key, 32, account->slots, account->slots_count, sizeof *account->slots);
    if (slot == NULL) return BRAID_ABSENT;
    *value = slot->value;
    return BRAID_FOUND;
}

int32_t dump_code_of(void *user, const braid_hash *hash, braid_code_sink *sink) {
    const dump *dump = user;
    const dump_code *code = find(hash, 32, dump->codes, dump->codes_count, sizeof *dump->codes);
    if (code == NULL) return BRAID_ABSENT;
    return braid_code_put(sink, code->bytes.ptr, (size_t)code->bytes.len);
}

int32_t dump_block_hash_of(void *user, uint64_t number, braid_hash *hash) {
    const dump *dump = user;
    for (uint64_t i = 0; i < dump->hashes_count; i++) {
        if (dump->hashes[i].number == number) {
            *hash = dump->hashes[i].hash;
            return BRAID_FOUND;
        }
    }
    return BRAID_ABSENT;
}

int32_t dump_prefetch(void *user, const braid_key *keys, uint64_t count) {
    (void)user;
    /* Sorted, without repetition, each slot after its account. */
    for (uint64_t i = 0; i < count; i++) {
        CHECK(keys[i].kind == BRAID_KEY_ACCOUNT || keys[i].kind == BRAID_KEY_SLOT);
        int order = i == 0 ? -1 : memcmp(&keys[i - 1].address, &keys[i].address, 20);
        CHECK(order < 0 || (order == 0 && keys[i].kind == BRAID_KEY_SLOT));
        CHECK(order < 0 || keys[i - 1].kind == BRAID_KEY_ACCOUNT ||
              memcmp(&keys[i - 1].slot, &keys[i].slot, 32) < 0);
    }
    return BRAID_OK;
}

int32_t dump_read_many(void *user, const braid_key *keys, uint64_t count, braid_answer *answers) {
    for (uint64_t i = 0; i < count; i++) {
        CHECK_EQUAL(answers[i].status, BRAID_UNANSWERED);
        /* One in eight stays unanswered. */
        if (i % 8 == 7) continue;
        if (keys[i].kind == BRAID_KEY_ACCOUNT) {
            answers[i].status = dump_account_of(user, &keys[i].address, &answers[i].account);
        } else {
            answers[i].status =
                dump_storage_of(user, &keys[i].address, &keys[i].slot, &answers[i].value);
        }
    }
    return BRAID_OK;
}

static uint64_t digest_bytes(uint64_t digest, const void *bytes, uint64_t len) {
    for (uint64_t i = 0; i < len; i++) {
        digest = (digest ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
    return digest;
}

/* As the dump computes it. */
static uint64_t digest_of(const braid_result_view *view) {
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; i < view->accounts_count; i++) {
        const braid_account_change *change = &view->accounts[i];
        uint8_t flags = (uint8_t)change->flags, nonce[8];
        digest = digest_bytes(digest, change->address.bytes, 20);
        digest = digest_bytes(digest, &flags, 1);
        for (int byte = 0; byte < 8; byte++) nonce[byte] = change->after.nonce >> 8 * byte & 255;
        static const braid_account none;
        if (memcmp(&change->after, &none, sizeof none) != 0) {
            digest = digest_bytes(digest, nonce, 8);
            digest = digest_bytes(digest, change->after.balance.bytes, 32);
            digest = digest_bytes(digest, change->after.code_hash.bytes, 32);
        }
        digest = digest_bytes(digest, change->slots, change->slots_count * sizeof *change->slots);
    }
    for (uint64_t i = 0; i < view->codes_count; i++) {
        digest = digest_bytes(digest, view->codes[i].hash.bytes, 32);
        digest = digest_bytes(digest, view->codes[i].bytes.ptr, view->codes[i].bytes.len);
    }
    for (uint64_t i = 0; i < view->receipts_count; i++) {
        for (uint64_t j = 0; j < view->receipts[i].logs_count; j++) {
            const braid_log *log = &view->receipts[i].logs[j];
            digest = digest_bytes(digest, log->address.bytes, 20);
            digest = digest_bytes(digest, log->topics, log->topics_count * sizeof *log->topics);
            digest = digest_bytes(digest, log->data.ptr, log->data.len);
        }
    }
    return digest;
}

static int same(braid_bytes left, braid_bytes right) {
    return left.len == right.len && (left.len == 0 || memcmp(left.ptr, right.ptr, left.len) == 0);
}

/* Every pointer of a view leads somewhere or is NULL: nothing else may reach a host whose runtime
   looks at pointers. */
static void check_arrays(const braid_result_view *view) {
    CHECK_ARRAY(view->requests, view->requests_count);
    CHECK_ARRAY(view->receipts, view->receipts_count);
    CHECK_ARRAY(view->logs, view->logs_count);
    CHECK_ARRAY(view->accounts, view->accounts_count);
    CHECK_ARRAY(view->slots, view->slots_count);
    CHECK_ARRAY(view->codes, view->codes_count);
    CHECK_ARRAY(view->receipts_rlp.ptr, view->receipts_rlp.len);
    CHECK_ARRAY(view->access_list_rlp.ptr, view->access_list_rlp.len);
    for (uint64_t i = 0; i < view->receipts_count; i++) {
        CHECK_ARRAY(view->receipts[i].logs, view->receipts[i].logs_count);
    }
    for (uint64_t i = 0; i < view->logs_count; i++) {
        CHECK_ARRAY(view->logs[i].topics, view->logs[i].topics_count);
        CHECK_ARRAY(view->logs[i].data.ptr, view->logs[i].data.len);
    }
    for (uint64_t i = 0; i < view->accounts_count; i++) {
        CHECK_ARRAY(view->accounts[i].slots, view->accounts[i].slots_count);
    }
}

static void check_all_but_list(const dump *dump, const braid_result *result) {
    const braid_result_view *view = braid_result_get(result);
    CHECK(view != NULL);
    CHECK(view->struct_size >= sizeof *view);
    check_arrays(view);
    CHECK_EQUAL(view->gas_used, dump->gas_used);
    CHECK_EQUAL(view->receipts_count, dump->transactions_count);
    CHECK_EQUAL((view->flags & BRAID_HAS_RECEIPTS_ROOT) != 0, dump->has_status != 0);
    uint64_t gas = 0, logs = 0, slots = 0;
    for (uint64_t i = 0; i < view->receipts_count; i++) {
        gas += view->receipts[i].gas_used;
        logs += view->receipts[i].logs_count;
    }
    for (uint64_t i = 0; i < view->accounts_count; i++) slots += view->accounts[i].slots_count;
    if (view->receipts_count > 0) {
        CHECK_EQUAL(gas, view->receipts[view->receipts_count - 1].cumulative_gas_used);
    }
    /* From Amsterdam on the block's gas is not the sum of what senders pay (EIP-8037). */
    if (dump->access_list.len == 0) CHECK_EQUAL(gas, dump->gas_used);
    CHECK_EQUAL(logs, view->logs_count);
    CHECK_EQUAL(slots, view->slots_count);
    if (dump->has_status) {
        CHECK(memcmp(&view->receipts_root, &dump->receipts_root, 32) == 0);
        CHECK(memcmp(&view->logs_bloom, &dump->logs_bloom, 256) == 0);
    }
    CHECK(digest_of(view) == dump->digest);
    CHECK_EQUAL((view->flags & BRAID_HAS_REQUESTS) != 0, dump->has_requests != 0);
    CHECK(memcmp(&view->requests_hash, &dump->requests_hash, 32) == 0);
    CHECK_EQUAL(view->requests_count, dump->requests_count);
    for (uint64_t i = 0; i < view->requests_count; i++) {
        CHECK(same(view->requests[i], dump->requests[i]));
    }
}

static void check_list(const braid_result *result, braid_bytes expected) {
    const braid_result_view *view = braid_result_get(result);
    CHECK_EQUAL((view->flags & BRAID_HAS_ACCESS_LIST) != 0, expected.len != 0);
    CHECK(same(view->access_list_rlp, expected));
}

void dump_check(const dump *dump, const braid_result *result) {
    check_all_but_list(dump, result);
    check_list(result, dump->access_list);
}

void dump_check_listed(const dump *dump, const braid_result *result) {
    check_all_but_list(dump, result);
    CHECK(dump->produced_list.len > 0);
    check_list(result, dump->produced_list);
}
