// What the tests in C++ share: dumped blocks, read by the C of the other tests, and readers.
#pragma once

#include <braid.hpp>

extern "C" {
#include "dump.h"
}

#include "check.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

struct FreeDump {
    void operator()(dump *of) const { dump_free(of); }
};
using Dump = std::unique_ptr<dump, FreeDump>;

inline Dump read_dump(const char *path) { return Dump(dump_read(path)); }

inline braid::Chain chain_of(const dump &of) {
    const braid::Bytes text = braid::bytes(of.chain);
    const std::string rules(text.begin(), text.end());
    if (rules.starts_with('{')) return braid::Chain::from_config(rules).value();
    return braid::Chain::by_name(rules).value();
}

inline braid::Block whole(const dump &of) { return braid::Block::whole(braid::bytes(of.rlp)); }

inline braid::Block parts(const dump &of) {
    auto block = braid::Block::parts(
        braid::bytes(of.header_rlp),
        {of.transactions, static_cast<std::size_t>(of.transactions_count)});
    return block.senders({of.senders, static_cast<std::size_t>(of.transactions_count)})
        .ommers(braid::bytes(of.ommers_rlp))
        .withdrawals(braid::bytes(of.withdrawals_rlp));
}

inline braid::Prestate prestate(const dump &of) {
    auto state = braid::Prestate::make();
    CHECK(state.has_value());
    for (std::uint64_t i = 0; i < of.accounts_count; i++) {
        const dump_account &from = of.accounts[i];
        CHECK(state->account(from.address, from.account).has_value());
        const std::span slots(from.slots, static_cast<std::size_t>(from.slots_count));
        CHECK(state->storage(from.address, slots).has_value());
    }
    for (std::uint64_t i = 0; i < of.codes_count; i++) {
        const auto hash = state->code(braid::bytes(of.codes[i].bytes));
        CHECK(hash.has_value() && std::memcmp(&*hash, &of.codes[i].hash, 32) == 0);
    }
    for (std::uint64_t i = 0; i < of.hashes_count; i++) {
        CHECK(state->block_hash(of.hashes[i].number, of.hashes[i].hash).has_value());
    }
    return std::move(state).value();
}

// Everything that a result says is what the dump expects.
inline void check(const dump &of, const braid::Outcome &outcome) {
    CHECK_EQUAL(outcome.gas_used(), of.gas_used);
    CHECK_EQUAL(outcome.receipts().size(), of.transactions_count);
    if (outcome.has_receipts_root()) {
        CHECK(std::memcmp(&outcome.receipts_root(), &of.receipts_root, 32) == 0);
        CHECK(std::memcmp(&outcome.logs_bloom(), &of.logs_bloom, 256) == 0);
    }
    std::size_t logs = 0, topics = 0, slots = 0;
    // An empty span points nowhere.
    const auto size = [](const auto &items) {
        CHECK((items.data() == nullptr) == items.empty());
        return items.size();
    };
    size(outcome.codes());
    for (const auto &receipt : outcome.receipts()) logs += size(braid::logs(receipt));
    for (const auto &log : outcome.logs()) topics += size(braid::topics(log));
    for (const auto &change : outcome.accounts()) slots += size(braid::slots(change));
    CHECK_EQUAL(logs, size(outcome.logs()));
    CHECK(topics <= 4 * logs);
    CHECK_EQUAL(slots, outcome.view().slots_count);
    CHECK(outcome.has_requests() == (of.has_requests != 0));
    CHECK(std::memcmp(&outcome.requests_hash(), &of.requests_hash, 32) == 0);
    CHECK_EQUAL(size(outcome.requests()), of.requests_count);
    CHECK(outcome.has_access_list() == (of.access_list.len != 0));
    CHECK(std::ranges::equal(outcome.access_list_rlp(), braid::bytes(of.access_list)));
}

// A reader's failure that does not come.
inline constexpr auto NEVER = [] { return false; };

// Reads a dump; at the `fail_at`-th call and all later ones does what the test asks for.
template <class Failure>
struct Reader {
    const dump &of;
    Failure fail;
    int fail_at = 0;
    std::atomic<int> calls{0};

    Reader(const dump &from, Failure how, int at) : of(from), fail(how), fail_at(at) {}

    // Whether the call fails by value.
    bool turn() {
        const int call = ++calls;
        return fail_at > 0 && call >= fail_at && fail();
    }
    void *user() const { return const_cast<dump *>(&of); }

    braid::Read<braid::Account> account(const braid::Address &address) {
        if (turn()) return braid::Failed{-42};
        braid::Account account{};
        if (dump_account_of(user(), &address, &account) != BRAID_FOUND) return braid::absent;
        return account;
    }
    braid::Read<braid::U256> storage(const braid::Address &address, const braid::U256 &key) {
        if (turn()) return braid::Failed{-42};
        braid::U256 value{};
        if (dump_storage_of(user(), &address, &key, &value) != BRAID_FOUND) return std::nullopt;
        return value;
    }
    braid::Read<braid::Code> code(const braid::Hash &hash) {
        if (turn()) return braid::Failed{-42};
        for (std::uint64_t i = 0; i < of.codes_count; i++) {
            if (std::memcmp(&of.codes[i].hash, &hash, 32) != 0) continue;
            const braid::Bytes code = braid::bytes(of.codes[i].bytes);
            // Both kinds of code.
            if (i % 2 == 0) return code;
            return std::vector<std::uint8_t>(code.begin(), code.end());
        }
        return braid::absent;
    }
    std::optional<braid::Hash> block_hash(std::uint64_t number) {
        // An answer that cannot say "failed" throws, or says that there is none.
        if (turn()) return std::nullopt;
        braid::Hash hash{};
        if (dump_block_hash_of(user(), number, &hash) != BRAID_FOUND) return std::nullopt;
        return hash;
    }
};
