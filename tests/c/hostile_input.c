/* Inputs that are wrong: bytes, chain configs, blocks. */

#include "check.h"
#include "hostile.h"

#include <string.h>

void test_undecodable_parts(const host *host) {
    static const uint8_t RUBBISH[] = {0xc2, 0x80};
    static const int32_t EXPECTED[] = {BRAID_BAD_BLOCK_RLP, BRAID_BAD_BLOCK_RLP,
                                       BRAID_BAD_BLOCK_RLP, BRAID_BAD_ACCESS_LIST};
    for (int which = 0; which < 4; which++) {
        braid_block block = dump_parts(host->dump);
        braid_bytes *parts[] = {&block.header_rlp, &block.ommers_rlp, &block.withdrawals_rlp,
                                &block.access_list_rlp};
        parts[which]->ptr = RUBBISH;
        parts[which]->len = sizeof RUBBISH;
        braid_request request = host->request;
        request.block = &block;
        CHECK_EQUAL(host_execute(host, &request), EXPECTED[which]);
    }
}

static int32_t config(const char *json) {
    braid_chain *chain = NULL;
    int32_t status = braid_chain_from_config((const uint8_t *)json, strlen(json), &chain, NULL);
    CHECK((status == BRAID_OK) == (chain != NULL));
    braid_chain_free(chain);
    return status;
}

void test_chains(const host *host) {
    static const char MAINNET[] =
        "{\"chainId\":1,\"homesteadBlock\":1150000,\"daoForkBlock\":1920000,"
        "\"daoForkSupport\":true,\"eip150Block\":2463000,\"eip155Block\":2675000,"
        "\"eip158Block\":2675000,\"byzantiumBlock\":4370000,\"constantinopleBlock\":7280000,"
        "\"petersburgBlock\":7280000,\"istanbulBlock\":9069000,\"muirGlacierBlock\":9200000,"
        "\"berlinBlock\":12244000,\"londonBlock\":12965000,\"arrowGlacierBlock\":13773000,"
        "\"grayGlacierBlock\":15050000,"
        "\"terminalTotalDifficulty\":58750000000000000000000,\"shanghaiTime\":1681338455,"
        "\"cancunTime\":1710338135,\"blobSchedule\":{\"cancun\":{\"target\":3,\"max\":6,"
        "\"baseFeeUpdateFraction\":3338477}}}";
    struct host other = *host;
    int32_t status = braid_chain_from_config((const uint8_t *)MAINNET, sizeof MAINNET - 1,
                                             &other.chain, NULL);
    CHECK_EQUAL(status, BRAID_OK);
    CHECK_EQUAL(braid_chain_id(other.chain), 1);
    other.request.chain = other.chain;
    host_usable(&other);
    braid_chain_free(other.chain);

    braid_chain *chain = NULL;
    CHECK_EQUAL(braid_chain_by_name("", &chain, NULL), BRAID_UNKNOWN_CHAIN);
    CHECK_EQUAL(braid_chain_by_name("\xff", &chain, NULL), BRAID_UNKNOWN_CHAIN);
    CHECK_EQUAL(config(""), BRAID_BAD_JSON);
    CHECK_EQUAL(config("{\"chainId\":1"), BRAID_BAD_JSON);
    CHECK_EQUAL(config("{\"chainId\":\"\xff\"}"), BRAID_BAD_JSON);
    CHECK_EQUAL(config("[]"), BRAID_BAD_CHAIN_CONFIG);
    CHECK_EQUAL(config("{}"), BRAID_BAD_CHAIN_CONFIG);
    CHECK_EQUAL(config("{\"chainId\":1e99}"), BRAID_BAD_CHAIN_CONFIG);
    CHECK_EQUAL(config("{\"chainId\":1,\"homesteadBlock\":-1}"), BRAID_BAD_CHAIN_CONFIG);
    CHECK_EQUAL(config("{\"chainId\":1,\"bogotaTime\":1}"), BRAID_UNKNOWN_FORK);
    CHECK_EQUAL(config("{\"chainId\":1,\"constantinopleBlock\":1,\"petersburgBlock\":2}"),
                BRAID_UNKNOWN_FORK);
    char deep[10001];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    CHECK_EQUAL(config(deep), BRAID_BAD_JSON);
}

void test_truncation(const host *host) {
    braid_bytes rlp = host->dump->rlp;
    braid_block block = host->block;
    braid_request request = host->request;
    request.block = &block;
    /* In memory of its own length, so that a tool sees each read beyond it. */
    for (uint64_t len = 0; len < rlp.len; len++) {
        uint8_t *part = malloc(len + (len == 0));
        CHECK(part != NULL);
        memcpy(part, rlp.ptr, len);
        block.rlp.ptr = part;
        block.rlp.len = len;
        CHECK_EQUAL(host_execute(host, &request), BRAID_BAD_BLOCK_RLP);
        free(part);
    }
    uint8_t *longer = calloc(1, rlp.len + 1);
    CHECK(longer != NULL);
    memcpy(longer, rlp.ptr, rlp.len);
    block.rlp.ptr = longer;
    block.rlp.len = rlp.len + 1;
    CHECK_EQUAL(host_execute(host, &request), BRAID_BAD_BLOCK_RLP);
    free(longer);
    uint8_t nested[10000];
    memset(nested, 0xc1, sizeof nested);
    block.rlp.ptr = nested;
    block.rlp.len = sizeof nested;
    CHECK_EQUAL(host_execute(host, &request), BRAID_BAD_BLOCK_RLP);
    static const uint8_t HUGE_LIST[] = {0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1};
    block.rlp.ptr = HUGE_LIST;
    block.rlp.len = sizeof HUGE_LIST;
    CHECK_EQUAL(host_execute(host, &request), BRAID_BAD_BLOCK_RLP);
}

void test_invalid_blocks(const host *host) {
    const dump *dump = host->dump;
    braid_request request = host->request;
    int64_t transaction;
    int32_t host_code;
    /* Another nonce than that of the first transaction. */
    braid_prestate *state = dump_prestate(dump);
    braid_account account;
    CHECK_EQUAL(dump_account_of(host->dump, &dump->senders[0], &account), BRAID_FOUND);
    account.nonce += 1;
    CHECK_EQUAL(braid_prestate_account(state, &dump->senders[0], &account, NULL), BRAID_OK);
    request.prestate = state;
    CHECK_EQUAL(host_error(host, &request, &transaction, &host_code), BRAID_INVALID_TRANSACTION);
    CHECK_EQUAL(transaction, 0);
    braid_prestate_free(state);

    /* A parent state in which the block uses another amount of gas. */
    state = dump_prestate(dump);
    for (uint64_t i = 0; i < dump->accounts_count; i++) {
        if (dump->accounts[i].slots_count == 0) continue;
        braid_slot slot = dump->accounts[i].slots[0];
        memset(&slot.value, 0, sizeof slot.value);
        const braid_address *of = &dump->accounts[i].address;
        CHECK_EQUAL(braid_prestate_storage(state, of, &slot, 1, NULL), BRAID_OK);
    }
    request.prestate = state;
    request.flags = BRAID_CHECK_HEADER;
    CHECK_EQUAL(host_execute(host, &request), BRAID_HEADER_MISMATCH);
    braid_prestate_free(state);

    /* An unknown transaction type, and one with a signature that is none. */
    uint8_t bytes[4096];
    braid_bytes first = dump->transactions[0];
    CHECK(first.len < sizeof bytes);
    braid_block block = dump_parts(dump);
    braid_bytes transactions[64];
    CHECK(dump->transactions_count <= 64);
    memcpy(transactions, dump->transactions, dump->transactions_count * sizeof *transactions);
    transactions[0].ptr = bytes;
    block.transactions = transactions;
    block.senders = NULL;
    block.senders_count = 0;
    request = host->request;
    request.block = &block;
    memcpy(bytes, first.ptr, first.len);
    bytes[0] = 0x7e;
    CHECK_EQUAL(host_error(host, &request, &transaction, &host_code), BRAID_BAD_TRANSACTION);
    CHECK_EQUAL(transaction, 0);
    memcpy(bytes, first.ptr, first.len);
    memset(bytes + first.len - 32, 0xff, 32);
    CHECK_EQUAL(host_error(host, &request, &transaction, &host_code), BRAID_INVALID_SIGNATURE);
    CHECK_EQUAL(transaction, 0);
}

/* Any status will do, as long as it has a name and agrees with what else was given. */
static int32_t execute_any(const host *host, const braid_request *request) {
    braid_result *result = NULL;
    braid_error *error = NULL;
    int32_t status = braid_execute(host->executor, request, &result, &error);
    CHECK((status == BRAID_OK) == (result != NULL));
    CHECK((status == BRAID_OK) == (error == NULL));
    CHECK(strcmp(braid_status_name(status), "UNKNOWN") != 0);
    /* Never the library's fault, nor a mistake of the caller's. */
    CHECK(status < 500 && (status == BRAID_OK || status >= 200));
    braid_result_free(result);
    braid_error_free(error);
    return status;
}

/* A copy in memory of its own length, so that a tool sees each read beyond it. */
static braid_bytes copy(braid_bytes of, uint64_t len) {
    uint8_t *bytes = malloc(len + (len == 0));
    CHECK(bytes != NULL);
    if (len > 0) memcpy(bytes, of.ptr, len);
    braid_bytes copied = {bytes, len};
    return copied;
}

static void truncate_part(const host *host, braid_block *block, braid_bytes *part,
                          int32_t expected) {
    braid_bytes whole = *part;
    braid_request request = host->request;
    request.block = block;
    for (uint64_t len = 0; len < whole.len; len++) {
        *part = copy(whole, len);
        int32_t status = execute_any(host, &request);
        /* No ommers and no withdrawals are not the same as a broken list of them. */
        CHECK(status == expected || len == 0);
        free((void *)part->ptr);
    }
    *part = whole;
}

void test_truncated_parts(const host *host) {
    static const uint8_t ONE_EMPTY_LIST[] = {0xc1, 0xc0};
    braid_block block = dump_parts(host->dump);
    truncate_part(host, &block, &block.header_rlp, BRAID_BAD_BLOCK_RLP);
    truncate_part(host, &block, &block.withdrawals_rlp, BRAID_BAD_BLOCK_RLP);
    /* A header makes an ommer. */
    uint8_t ommers[OMMERS];
    block.ommers_rlp = host_ommers(host, ommers);
    truncate_part(host, &block, &block.ommers_rlp, BRAID_BAD_BLOCK_RLP);
    block = dump_parts(host->dump);
    block.access_list_rlp.ptr = ONE_EMPTY_LIST;
    block.access_list_rlp.len = sizeof ONE_EMPTY_LIST;
    truncate_part(host, &block, &block.access_list_rlp, BRAID_BAD_ACCESS_LIST);
    braid_bytes transactions[64];
    CHECK(block.transactions_count <= 64);
    memcpy(transactions, block.transactions, block.transactions_count * sizeof *transactions);
    block.transactions = transactions;
    for (uint64_t i = 0; i < block.transactions_count; i++) {
        truncate_part(host, &block, &transactions[i], BRAID_BAD_TRANSACTION);
    }
}

/* A block with one byte changed is undecodable, invalid, or another valid block. */
void test_flipped_bytes(const host *host) {
    static const uint8_t FLIPS[] = {0x01, 0x80, 0xff};
    braid_block block = host->block;
    braid_request request = host->request;
    request.flags = BRAID_CHECK_HEADER;
    request.block = &block;
    block.rlp = copy(host->dump->rlp, host->dump->rlp.len);
    uint8_t *bytes = (uint8_t *)block.rlp.ptr;
    int refused = 0;
    for (uint64_t at = 0; at < block.rlp.len; at++) {
        for (size_t i = 0; i < sizeof FLIPS; i++) {
            bytes[at] ^= FLIPS[i];
            refused += execute_any(host, &request) != BRAID_OK;
            bytes[at] ^= FLIPS[i];
        }
    }
    CHECK(refused > 100);
    CHECK_EQUAL(host_execute(host, &request), BRAID_OK);
    free(bytes);
}

void test_broken_configs(const host *host) {
    static const char CONFIG[] =
        "{\"chainId\":1,\"homesteadBlock\":0,\"londonBlock\":0,\"terminalTotalDifficulty\":0,"
        "\"shanghaiTime\":1,\"cancunTime\":2,\"blobSchedule\":{\"cancun\":{\"target\":3,"
        "\"max\":6,\"baseFeeUpdateFraction\":3338477}}}";
    (void)host;
    braid_bytes whole = {(const uint8_t *)CONFIG, sizeof CONFIG - 1};
    for (uint64_t len = 0; len <= whole.len; len++) {
        braid_bytes part = copy(whole, len);
        braid_chain *chain = NULL;
        int32_t status = braid_chain_from_config(part.ptr, (size_t)len, &chain, NULL);
        CHECK_EQUAL(status, len == whole.len ? BRAID_OK : BRAID_BAD_JSON);
        braid_chain_free(chain);
        for (uint64_t at = 0; len == whole.len && at < len; at++) {
            for (int bit = 0; bit < 8; bit++) {
                ((uint8_t *)part.ptr)[at] ^= (uint8_t)(1 << bit);
                chain = NULL;
                status = braid_chain_from_config(part.ptr, (size_t)len, &chain, NULL);
                CHECK((status == BRAID_OK) == (chain != NULL));
                CHECK(status == BRAID_OK || (status >= 200 && status < 300));
                braid_chain_free(chain);
                ((uint8_t *)part.ptr)[at] ^= (uint8_t)(1 << bit);
            }
        }
        free((void *)part.ptr);
    }
}
