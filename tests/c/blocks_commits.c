#include "blocks_commits.h"

#include "check.h"

#include <string.h>

/* Elements in the order of their keys, which they open with. */
typedef struct sorted {
    uint8_t *memory;
    size_t count, room, size, key_size;
} sorted;

typedef struct folded_account {
    braid_address address;
    int exists;
    /* Gone at some step: nothing of the parent state's storage is left. */
    int was_gone;
    braid_account account;
    sorted slots; /* of braid_slot */
} folded_account;

typedef struct folded_receipt {
    uint64_t cumulative_gas_used, gas_used, logs_count;
    uint8_t success;
    braid_bloom bloom;
} folded_receipt;

struct fold {
    const dump *dump;
    uint32_t step;
    uint64_t transactions;
    folded_receipt *receipts;
    sorted accounts; /* of folded_account */
    sorted codes;    /* of braid_hash */
};

static sorted sorted_new(size_t size, size_t key_size) {
    sorted into = {NULL, 0, 0, size, key_size};
    return into;
}

/* Where the key is, or where it belongs. */
static size_t position(const sorted *in, const void *key) {
    size_t low = 0, high = in->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(in->memory + middle * in->size, key, in->key_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void *sorted_find(const sorted *in, const void *key) {
    size_t at = position(in, key);
    if (at == in->count) return NULL;
    uint8_t *element = in->memory + at * in->size;
    return memcmp(element, key, in->key_size) == 0 ? element : NULL;
}

/* The element with this key; a new one is all zeros but for the key. */
static void *sorted_insert(sorted *in, const void *key) {
    void *found = sorted_find(in, key);
    if (found != NULL) return found;
    if (in->count == in->room) {
        in->room = in->room == 0 ? 8 : 2 * in->room;
        in->memory = realloc(in->memory, in->room * in->size);
        CHECK(in->memory != NULL);
    }
    size_t at = position(in, key);
    uint8_t *element = in->memory + at * in->size;
    memmove(element + in->size, element, (in->count - at) * in->size);
    in->count++;
    memset(element, 0, in->size);
    memcpy(element, key, in->key_size);
    return element;
}

fold *fold_new(const dump *dump) {
    fold *into = calloc(1, sizeof *into);
    CHECK(into != NULL);
    into->dump = dump;
    into->receipts = calloc((size_t)dump->transactions_count + 1, sizeof *into->receipts);
    CHECK(into->receipts != NULL);
    into->accounts = sorted_new(sizeof(folded_account), sizeof(braid_address));
    into->codes = sorted_new(sizeof(braid_hash), sizeof(braid_hash));
    return into;
}

void fold_free(fold *fold) {
    for (size_t i = 0; i < fold->accounts.count; i++) {
        free(((folded_account *)fold->accounts.memory)[i].slots.memory);
    }
    free(fold->accounts.memory);
    free(fold->codes.memory);
    free(fold->receipts);
    free(fold);
}

static void fold_receipt(fold *fold, const braid_commit *commit) {
    CHECK((commit->receipt != NULL) == (commit->step == BRAID_STEP_TRANSACTION));
    if (commit->receipt == NULL) {
        CHECK_EQUAL(commit->transaction, 0);
        return;
    }
    CHECK_EQUAL(commit->transaction, fold->transactions);
    CHECK(fold->transactions < fold->dump->transactions_count);
    folded_receipt *to = &fold->receipts[fold->transactions++];
    to->cumulative_gas_used = commit->receipt->cumulative_gas_used;
    to->gas_used = commit->receipt->gas_used;
    to->logs_count = commit->receipt->logs_count;
    to->success = commit->receipt->success;
    to->bloom = commit->receipt->logs_bloom;
    CHECK_ARRAY(commit->receipt->logs, commit->receipt->logs_count);
    for (uint64_t i = 0; i < to->logs_count; i++) {
        const braid_log *log = &commit->receipt->logs[i];
        CHECK(log->topics_count < 5);
        CHECK_ARRAY(log->topics, log->topics_count);
        CHECK_ARRAY(log->data.ptr, log->data.len);
    }
}

static void fold_account(fold *fold, const braid_committed_account *from) {
    CHECK_ARRAY(from->slots, from->slots_count);
    folded_account *to = sorted_insert(&fold->accounts, &from->address);
    if (to->slots.size == 0) to->slots = sorted_new(sizeof(braid_slot), sizeof(braid_u256));
    to->exists = (from->flags & BRAID_ACCOUNT_DESTROYED) == 0;
    to->account = from->after;
    if (!to->exists) {
        static const braid_account none;
        CHECK(from->slots_count == 0 && memcmp(&from->after, &none, sizeof none) == 0);
        to->was_gone = 1;
        to->slots.count = 0;
    }
    for (uint64_t i = 0; i < from->slots_count; i++) {
        const braid_slot *slot = &from->slots[i];
        CHECK(i == 0 || memcmp(&from->slots[i - 1].key, &slot->key, sizeof slot->key) < 0);
        braid_slot *into = sorted_insert(&to->slots, &slot->key);
        into->value = slot->value;
    }
}

int32_t fold_commit(void *user, const braid_commit *commit) {
    fold *fold = user;
    CHECK(commit->struct_size >= sizeof *commit);
    CHECK(commit->step >= fold->step);
    fold->step = commit->step;
    CHECK_ARRAY(commit->accounts, commit->accounts_count);
    CHECK_ARRAY(commit->codes, commit->codes_count);
    fold_receipt(fold, commit);
    for (uint64_t i = 0; i < commit->accounts_count; i++) {
        const braid_committed_account *account = &commit->accounts[i];
        CHECK(i == 0 || memcmp(&account[-1].address, &account->address, 20) < 0);
        fold_account(fold, account);
    }
    for (uint64_t i = 0; i < commit->codes_count; i++) {
        CHECK(commit->codes[i].bytes.len > 0);
        sorted_insert(&fold->codes, &commit->codes[i].hash);
    }
    return BRAID_OK;
}

static const braid_account_change *find_change(const braid_result_view *view,
                                               const braid_address *address) {
    for (uint64_t i = 0; i < view->accounts_count; i++) {
        if (memcmp(&view->accounts[i].address, address, sizeof *address) == 0) {
            return &view->accounts[i];
        }
    }
    return NULL;
}

/* Each slot that a step changed is a change of the block, or is as it was before. */
static void check_slots(const fold *fold, const folded_account *of,
                        const braid_account_change *change) {
    uint64_t matched = 0;
    for (size_t i = 0; i < of->slots.count && of->exists; i++) {
        const braid_slot *slot = &((const braid_slot *)of->slots.memory)[i];
        const braid_slot *listed = NULL;
        for (uint64_t j = 0; change != NULL && j < change->slots_count && listed == NULL; j++) {
            if (memcmp(&change->slots[j].key, &slot->key, 32) == 0) listed = &change->slots[j];
        }
        if (listed != NULL) {
            CHECK(memcmp(&listed->value, &slot->value, 32) == 0);
            matched++;
            continue;
        }
        braid_u256 before;
        memset(&before, 0, sizeof before);
        if (!of->was_gone) {
            dump_storage_of((void *)fold->dump, &of->address, &slot->key, &before);
        }
        CHECK(memcmp(&before, &slot->value, 32) == 0);
    }
    CHECK_EQUAL(matched, change == NULL ? 0 : change->slots_count);
}

static void check_account(const fold *fold, const folded_account *of,
                          const braid_account_change *change) {
    braid_account before;
    memset(&before, 0, sizeof before);
    int existed = dump_account_of((void *)fold->dump, &of->address, &before) == BRAID_FOUND;
    if (change == NULL) {
        CHECK_EQUAL(of->exists, existed);
        CHECK(memcmp(&of->account, &before, sizeof before) == 0 || !existed);
        CHECK(!of->was_gone || !existed);
    } else {
        CHECK(memcmp(&of->account, &change->after, sizeof before) == 0);
        CHECK(of->exists || (change->flags & BRAID_ACCOUNT_DESTROYED) != 0);
        CHECK((change->flags & BRAID_ACCOUNT_WIPED) == 0 || of->was_gone);
    }
    check_slots(fold, of, change);
}

void fold_check(const fold *fold, const braid_result *result) {
    const braid_result_view *view = braid_result_get(result);
    CHECK_EQUAL(fold->transactions, view->receipts_count);
    for (uint64_t i = 0; i < view->receipts_count; i++) {
        const braid_receipt *receipt = &view->receipts[i];
        const folded_receipt *step = &fold->receipts[i];
        CHECK_EQUAL(step->cumulative_gas_used, receipt->cumulative_gas_used);
        CHECK_EQUAL(step->gas_used, receipt->gas_used);
        CHECK_EQUAL(step->logs_count, receipt->logs_count);
        CHECK_EQUAL(step->success, receipt->success);
        CHECK(memcmp(&step->bloom, &receipt->logs_bloom, sizeof step->bloom) == 0);
    }
    uint64_t matched = 0;
    for (size_t i = 0; i < fold->accounts.count; i++) {
        const folded_account *of = &((const folded_account *)fold->accounts.memory)[i];
        const braid_account_change *change = find_change(view, &of->address);
        check_account(fold, of, change);
        matched += change != NULL;
    }
    CHECK_EQUAL(matched, view->accounts_count);
    for (uint64_t i = 0; i < view->codes_count; i++) {
        CHECK(sorted_find(&fold->codes, &view->codes[i].hash) != NULL);
    }
}
